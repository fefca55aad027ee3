// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// exchangeTrial is a client and a server that do ordinary I/O, one of them broken. The passive judge reads their packets.
type exchangeTrial struct {
	setting setting
	client  func(*ibnbd.ClientConfig) // breaks the client; nil leaves it whole
	server  func(*brokenServer)       // breaks the server; nil leaves it whole
}

// setting is what a mutant on the wire and its control have in common.
type setting struct {
	name   string                                         // tells it from others
	change func(*ibnbd.ServerConfig, *ibnbd.ClientConfig) // nil changes nothing
	more   func(context.Context, *exchange) error         // done after I/O
	takes  time.Duration                                  // by timers
	judge  audit.Configuration                            // what the judge is told
}

// clientWith makes a mutant of a client whose packets are judged.
func clientWith(in setting, name, what, clause string, rules func(*ibnbd.ClientConfig)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Client, Trial: exchangeTrial{setting: in, client: rules}}}
}

// serverWith makes a mutant of a server whose packets are judged.
func serverWith(in setting, name, what, clause string, spoil func(*brokenServer)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Trial: exchangeTrial{setting: in, server: spoil}}}
}

// Specs is the passive judge.
func (t exchangeTrial) Specs([]string) []mutant.Spec {
	return []mutant.Spec{{Name: audit.SpecName, Control: "exchange " + t.setting.name, Run: t.run}}
}

// run has both sides do I/O, and judges what was on the wire. Of a mutant, I/O that fails is no error.
func (t exchangeTrial) run(ctx context.Context, on mutant.Subject) (mutant.Findings, error) {
	e, err := newExchange(func(server *ibnbd.ServerConfig, client *ibnbd.ClientConfig) { t.configure(server, client, on) })
	if err != nil {
		return nil, err
	}
	doing, cancel := context.WithTimeout(ctx, t.setting.takes+on.Patience)
	defer cancel()
	if err = e.use(doing); err == nil {
		err = t.setting.more(doing, e)
	}
	err = errors.Join(err, e.end(doing), e.close())
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && !on.Broken:
		return nil, err
	}
	return recording.Judge(ctx, judge.Protocol, t.setting.judge, e.recorded())
}

func (t exchangeTrial) configure(server *ibnbd.ServerConfig, client *ibnbd.ClientConfig, on mutant.Subject) {
	if t.setting.change != nil {
		t.setting.change(server, client)
	}
	if on.Broken && t.server != nil {
		t.server(newBrokenServer(server))
	}
	if on.Broken && t.client != nil {
		t.client(client)
	}
}
