// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// soft-RoCE puts a queue pair into the error state when the network refuses one of its packets, which it does for a moment
// while a carrier goes, and makes no exception of the queue pair of connection management. A machine has been seen that neither
// sent nor answered anything of connection management over a device for minutes after its carrier had gone. A spec that fails so
// says nothing of its subjects. Two signs together are taken for it: the device has counted a packet that it could not send, and a
// request for a connection to a port where nobody listens, which the kernel refuses whatever the subjects do, is not answered.

const (
	// answerTime is how long a request for a connection may be without an answer.
	answerTime = 10 * time.Second
	// unusedPort is one where nobody listens.
	unusedPort = 4
	// proberHost is the number of the station that asks, on each rail.
	proberHost = stationHost - 1
)

// deadTransport says which device of a host under test nobody can connect over any more through no fault of a subject; "" if
// there is none.
func deadTransport(ctx context.Context, t *Testbed) (string, error) {
	for _, h := range t.hosts() {
		if dead(h) {
			continue
		}
		for rail, nic := range h.NICs() {
			refused, err := sendErrors(ctx, h, nic.RDMA)
			if err != nil || refused == 0 {
				continue // without the device there is nothing to excuse
			}
			answers, err := answersConnectionRequest(ctx, t, h, rail)
			if err != nil {
				return "", err
			}
			if !answers {
				return fmt.Sprintf("connection management on %s of %s is dead: soft-RoCE could not send a packet "+
					"(send_err is %d), and a connection request to an unused port had no answer in %s", nic.RDMA, h.Name(), refused, answerTime), nil
			}
		}
	}
	return "", nil
}

// sendErrors is how many packets a device of soft-RoCE could not send since it was made.
func sendErrors(ctx context.Context, h *vm.Host, device string) (uint64, error) {
	text, err := h.Agent().ReadFile(ctx, "/sys/class/infiniband/"+device+"/ports/1/hw_counters/send_err")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// answersConnectionRequest has a station on a rail ask a host for a connection that it has to refuse.
func answersConnectionRequest(ctx context.Context, t *Testbed, h *vm.Host, rail int) (bool, error) {
	wire, err := t.Lab.Rails()[rail].Attach("prober", fabric.DefaultQueue)
	if err != nil {
		return false, err
	}
	defer wire.Close()
	link, err := soft.NewFrameLink(wire, soft.FrameConfig{
		MAC: vm.MAC(rail, proberHost), Prefix: vm.IPv4(rail, proberHost), MTU: t.Lab.Config().MTU,
	})
	if err != nil {
		return false, err
	}
	device, err := soft.Open(link, soft.Config{})
	if err != nil {
		return false, err
	}
	defer device.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	peer := netip.AddrPortFrom(h.NIC(rail).IPv4.Addr(), unusedPort)
	_, err = device.Dial(ctx, peer, rdma.ConnConfig{SendQueue: 1, RecvQueue: 1}, nil)
	var no *rdma.RejectError
	if err == nil || errors.As(err, &no) {
		return true, nil
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rdma.ErrUnreachable) {
		return false, nil
	}
	return false, fmt.Errorf("ask %s for a connection: %w", peer, err)
}

// MarkInconclusive turns failures into doubts when the guests were starved, or the transport died, in the spec that has just ended; and
// where the guests' kernel is slow by what it checks, unless that is what has caught something.
func MarkInconclusive(results []verdict.Result) []verdict.Result {
	if env.transport != "" {
		results = excuse(results, verdict.TransportFailed, env.transport)
	}
	if why := env.config.Lab.Image.Slowness(); why != "" && !env.caught {
		results = excuse(results, verdict.SlowHost, why)
	}
	if env.starvation == nil {
		return results
	}
	return excuse(results, verdict.SlowHost, env.starvation.verdict())
}

func excuse(results []verdict.Result, reason verdict.Reason, why string) []verdict.Result {
	if why == "" {
		return results
	}
	for i, r := range results {
		if r.Verdict == verdict.Fail {
			results[i].Verdict, results[i].Reason = verdict.Inconclusive, reason
			results[i].Message = fmt.Sprintf("%s; what was seen: %s", why, r.Message)
		}
	}
	return results
}
