// SPDX-License-Identifier: Apache-2.0

package wireshark_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/wireshark"
)

const captures = "../../reference/roce/testdata/captures/"

func TestLayoutsAreFresh(t *testing.T) {
	var want bytes.Buffer
	if err := wireshark.WriteLayouts(&want, protocol.Layouts(conformance.Protocols())); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(wireshark.LayoutsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s is stale, run go generate (-want +got):\n%s", wireshark.LayoutsFile, diff)
	}
}

// tshark runs tshark with the dissector and returns its output. It fails the test if the dissector or tshark complains.
func tshark(t *testing.T, capture string, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed: the dissector cannot be run")
	}
	script, err := filepath.Abs("ibnbd/ibnbd.lua")
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-X", "lua_script:" + script, "-r", capture}, args...)
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C") // no plugins or settings of the user
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		t.Fatalf("tshark %s: %v\n%s", strings.Join(args, " "), err, complaints.String())
	}
	if strings.Contains(complaints.String(), "Lua") || strings.Contains(out.String(), "Lua Error") {
		t.Fatalf("the dissector failed on %s:\n%s%s", capture, complaints.String(), out.String())
	}
	return out.String()
}

// dissect returns the values of fields in each frame that has any of them, numbers in decimal.
func dissect(t *testing.T, capture string, fields []string) map[int]row {
	t.Helper()
	rows := dissectText(t, capture, fields)
	for _, r := range rows {
		for f, v := range r {
			r[f] = canonical(t, f, v)
		}
	}
	return rows
}

// dissectText returns the values of fields in each frame that has any of them, as tshark writes them.
func dissectText(t *testing.T, capture string, fields []string) map[int]row {
	t.Helper()
	args := []string{"-Y", "ibtrs or srp_rdma", "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,", "-e", "frame.number"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	rows := map[int]row{}
	for line := range strings.Lines(tshark(t, capture, args...)) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		number, err := strconv.Atoi(columns[0])
		if err != nil || len(columns) != len(fields)+1 {
			t.Fatalf("tshark wrote %q", line)
		}
		r := row{}
		for i, f := range fields {
			if v := columns[i+1]; v != "" {
				r[f] = v
			}
		}
		if len(r) > 0 {
			rows[number] = r
		}
	}
	return rows
}

// canonical writes the numbers of a field in decimal.
func canonical(t *testing.T, field, values string) string {
	t.Helper()
	if isText(field) {
		return values
	}
	list := strings.Split(values, ",")
	for i, v := range list {
		n, err := strconv.ParseUint(v, 0, 64)
		if err != nil {
			t.Fatalf("field %s: %q is no number", field, v)
		}
		list[i] = fmt.Sprint(n)
	}
	return strings.Join(list, ",")
}

// fieldsOf returns the names of all fields in the rows.
func fieldsOf(rows map[int]row) []string {
	names := map[string]bool{}
	for _, r := range rows {
		for f := range r {
			names[f] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// What the dissector shows of the traffic of mainline is what the Go parsers find: the same fields with the same
// values in the same frames, and nothing in other frames.
func TestDissectorAgreesWithParsers(t *testing.T) {
	for file, least := range map[string]int{
		"rnbd-mainline-rail0.pcap":        250,
		"rnbd-mainline-rail1.pcap":        50,
		"srp-login-io-logout.pcap":        150,
		"srp-two-channels-indirect.pcap":  150,
		"srp-four-targets-reconnect.pcap": 100,
	} {
		t.Run(file, func(t *testing.T) {
			want := decode(t, captures+file).rows
			if len(want) < least {
				t.Fatalf("the Go parsers find something in %d frames, expected at least %d", len(want), least)
			}
			got := dissect(t, captures+file, fieldsOf(want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error("by frame (-Go parsers +dissector):\n" + diff)
			}
		})
	}
}

// Captures of other verbs traffic have nothing of these protocols in them, nor does the dissector believe so.
func TestDissectorLeavesOthersAlone(t *testing.T) {
	for _, file := range []string{"rxe-mtu1024.pcap", "rxe-mtu4096.pcap"} {
		if out := tshark(t, captures+file, "-Y", "ibtrs or ibnbd or srp_rdma"); out != "" {
			t.Errorf("%s:\n%s", file, out)
		}
	}
}
