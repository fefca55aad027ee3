// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestFigures measures a device with the client, and asks the server for its counters as Prometheus does.
func TestFigures(t *testing.T) {
	b := newBench(t)
	socket := filepath.Join(b.dir, "metrics.sock")
	stopServer := b.start("listening", "ibnbd-server", "--listen", "127.74.0.2", "--export", "ram0=mem:16M", "--metrics", "unix:"+socket)
	stopClient := b.start("nbd+unix", "ibnbd-client", "map", "--session", "one", "--path", "127.74.0.1@127.74.0.2", "--access", "ro", "ram0")

	for op, size := range map[string]string{"randread": "4K", "write": "64K"} {
		text := b.run("ibnbd-client", "bench", "--session", "bench", "--path", "127.74.0.3@127.74.0.2", "--op", op, "--block", size,
			"--depth", "4", "--time", "200ms", "ram0")
		rate := regexp.MustCompile(`: (\d+) I/Os in [\d.]+ s = (\d+) IOPS, [\d.]+ MB/s\nlatency: mean `).FindStringSubmatch(text)
		if rate == nil || rate[1] == "0" || !strings.Contains(text, "99.90 %  ") {
			t.Errorf("%s of %s tells no rate, mean and histogram:\n%s", op, size, text)
		}
	}

	text := scrape(t, socket)
	sample := regexp.MustCompile(`(?m)^ibnbd_server_path_reads_total\{session="one",path="ip:127.74.0.1@ip:127.74.0.2",state="connected"\} (\d+)$`).FindStringSubmatch(text)
	if sample == nil {
		t.Fatalf("no reads of the path:\n%s", text)
	}
	if reads, _ := strconv.Atoi(sample[1]); reads == 0 {
		t.Errorf("the path has mapped a device without a read:\n%s", text)
	}
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		if !metricsLine.MatchString(l) {
			t.Errorf("line %q is not of the text format", l)
		}
	}
	b.run("ibnbd-client", "unmap", "ram0")
	stopClient(0)
	stopServer(syscall.SIGTERM)
}

// metricsLine is a line of Prometheus' text format, as far as the server uses it.
var metricsLine = regexp.MustCompile(`^(# TYPE [a-z_]+ (counter|gauge)|[a-z_]+(\{([a-z]+="[^"\\]*",?)*\})? \d+)$`)

// scrape reads the metrics from a Unix socket.
func scrape(t *testing.T, socket string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://server/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return string(text)
}
