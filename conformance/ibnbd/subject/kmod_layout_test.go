// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

// wireHeader is where the kernel modules have their layouts. Each line that begins with WIRE_ is an assertion for the C compiler.
const wireHeader = "../../../kmod/include/wire.h"

// sameStructure are messages for which C has no structure of its own.
var sameStructure = map[string]string{
	"sess_info_rsp": "the fields are those of sess_info", "io_short": "the fields are the first of io",
	"immediate": "a number", "response_immediate": "a number",
}

// maskNames are what the masks of a field's bits are called in C.
var maskNames = map[string]string{
	"conn_request.first":        "IBTRS_FIRST_CONNECTION",
	"conn_response.key_refresh": "IBTRS_KEY_REFRESH",
	"read_message.invalidate":   "IBTRS_READ_INVALIDATE",
	"immediate.type":            "IBTRS_IMM_TYPE",
	"immediate.payload":         "IBTRS_IMM_PAYLOAD",
	"response_immediate.type":   "IBTRS_IMM_TYPE",
	"response_immediate.errno":  "IBTRS_IMM_ERRNO",
	"response_immediate.id":     "IBTRS_IMM_ID",
	"sess_info.io_mode":         "IBNBD_FEATURE_IO_MODE",
	"sess_info.write_same":      "IBNBD_FEATURE_WRITE_SAME",
	"sess_info.flags":           "IBNBD_FEATURE_FLAGS",
	"sess_info_rsp.io_mode":     "IBNBD_FEATURE_IO_MODE",
	"sess_info_rsp.write_same":  "IBNBD_FEATURE_WRITE_SAME",
	"sess_info_rsp.flags":       "IBNBD_FEATURE_FLAGS",
	"open_rsp.fua":              "IBNBD_CACHE_FUA",
	"open_rsp.writeback":        "IBNBD_CACHE_WRITEBACK",
	"io.op":                     "IBNBD_OP_MASK",
	"io.sync":                   "IBNBD_FLAG_SYNC",
	"io.fua":                    "IBNBD_FLAG_FUA",
	"io.preflush":               "IBNBD_FLAG_PREFLUSH",
	"io.nounmap":                "IBNBD_FLAG_NOUNMAP",
	"io_short.op":               "IBNBD_OP_MASK",
	"io_short.sync":             "IBNBD_FLAG_SYNC",
	"io_short.fua":              "IBNBD_FLAG_FUA",
	"io_short.preflush":         "IBNBD_FLAG_PREFLUSH",
	"io_short.nounmap":          "IBNBD_FLAG_NOUNMAP",
}

// TestKernelLayout holds what the C compiler checks against the tables of the reference: sizes, offsets, byte orders and masks.
func TestKernelLayout(t *testing.T) {
	text, err := os.ReadFile(wireHeader)
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(?m)^WIRE_[A-Z]+\(.*\);$`).FindAllString(string(text), -1)
	var want []string
	for _, protocol := range []layout.Protocol{ibtrs.Layout, ibnbd.Layout} {
		for _, message := range protocol.Messages {
			if sameStructure[message.Name] == "" {
				want = append(want, structureLines(protocol.Name+"_"+message.Name, message)...)
			}
			want = append(want, maskLines(t, message)...)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("assertions in %s (-tables of the reference +header):\n%s", wireHeader, diff)
	}
}

// structureLines are the assertions of one structure.
func structureLines(name string, message layout.Message) []string {
	lines := []string{fmt.Sprintf("WIRE_SIZE(%s, %d);", name, message.Size)}
	for _, f := range message.Fields {
		switch f.Encoding {
		case layout.Little, layout.LittleSigned:
			ctype := map[int]string{1: "u8", 2: "__le16", 4: "__le32", 8: "__le64"}[f.Size]
			lines = append(lines, fmt.Sprintf("WIRE_FIELD(%s, %s, %d, %s);", name, f.Name, f.Offset, ctype))
		default:
			lines = append(lines, fmt.Sprintf("WIRE_BYTES(%s, %s, %d, %d);", name, f.Name, f.Offset, f.Size))
		}
	}
	return lines
}

// maskLines are the assertions about the bits of a message's fields.
func maskLines(t *testing.T, message layout.Message) []string {
	t.Helper()
	var lines []string
	for _, f := range message.Fields {
		for _, bits := range f.Bits {
			key := message.Name + "." + bits.Name
			name, ok := maskNames[key]
			if !ok {
				t.Errorf("no name in C for the bits %s", key)
			}
			lines = append(lines, fmt.Sprintf("WIRE_BITS(%s, %#x);", name, bits.Mask))
		}
	}
	return lines
}
