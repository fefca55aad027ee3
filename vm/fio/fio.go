// SPDX-License-Identifier: Apache-2.0

// Package fio runs fio on a machine of the lab, for benchmarks that compare two ways to the same disk: a [Load] says how the
// disk is used, [Speed] uses it so for a while, and [Share] compares what came out over many turns. The machines of a lab
// share the host's processors with everything else, so that no speed means anything alone.
package fio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// Load is one way to use a block device.
type Load struct {
	Name    string
	Options []string // fio's, such as --rw=randread
}

// slack is what fio may take beyond its time, to start and to report, on a machine that is busy.
const slack = time.Minute

// Speed uses a block device for some whole seconds and returns how many bytes a second were moved. The machine must have
// fio.
func Speed(ctx context.Context, machine *agent.Client, node string, l Load, seconds int) (int64, error) {
	args := append([]string{
		"--name=" + l.Name, "--filename=" + node, "--direct=1", "--ioengine=libaio", "--thread", "--output-format=json",
		"--time_based", fmt.Sprintf("--runtime=%d", seconds),
	}, l.Options...)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+slack)
	defer cancel()
	result, err := machine.Run(ctx, agent.Command{Path: "fio", Args: args})
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("fio %s: %w", strings.Join(args, " "), err)
	}
	return bandwidth(result.Stdout)
}

// bandwidth reads fio's report of one job, in bytes a second.
func bandwidth(report []byte) (int64, error) {
	var told struct {
		Jobs []struct {
			Read, Write struct {
				Bandwidth int64 `json:"bw_bytes"`
			}
		}
	}
	if err := json.Unmarshal(report, &told); err != nil {
		return 0, fmt.Errorf("fio's report: %w", err)
	}
	if len(told.Jobs) != 1 {
		return 0, fmt.Errorf("fio's report is on %d jobs, not on 1", len(told.Jobs))
	}
	return told.Jobs[0].Read.Bandwidth + told.Jobs[0].Write.Bandwidth, nil
}

// Share is the median over all turns of a speed as a share of another in the same turn. There is at least one turn, and
// both have the same number.
func Share(speeds, of []int64) float64 {
	shares := make([]float64, len(speeds))
	for turn, speed := range speeds {
		shares[turn] = float64(speed) / float64(of[turn])
	}
	slices.Sort(shares)
	return shares[len(shares)/2]
}
