// SPDX-License-Identifier: Apache-2.0

package prompt

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// draft is a fault that is being said.
type draft struct {
	fabric.Fault
	match []fabric.Predicate
}

// word is one word of a fault with what follows it.
type word struct {
	name, takes, does string // takes is "" where nothing follows
	set               func(d *draft, value string) error
}

// actions are what a fault begins with.
var actions = []word{
	{"drop", "", "lose frames", func(d *draft, _ string) error { d.Action = fabric.Drop{}; return nil }},
	{"delay", "TIME", "let them come later, in order", func(d *draft, v string) error {
		base, err := duration(v)
		d.Action = fabric.Delay{Base: base, InOrder: true}
		return err
	}},
	{"duplicate", "COPIES", "let so many copies follow each", func(d *draft, v string) error {
		n, err := number(v)
		d.Action = fabric.Duplicate{Copies: int(n)}
		return err
	}},
	{"reorder", "FRAMES", "let so many later ones overtake each", func(d *draft, v string) error {
		n, err := number(v)
		d.Action = fabric.Reorder{Behind: int(n)}
		return err
	}},
	{"corrupt", "BYTE", "flip a bit of that byte behind the UDP header, and leave the check sum wrong", func(d *draft, v string) error {
		n, err := number(v)
		d.Action = fabric.Corrupt{Region: fabric.InTransport, Offset: int(n)}
		return err
	}},
	{"carrier", "", "take the links of the hosts down, or of those that are named by 'at'", func(d *draft, _ string) error {
		d.Action = fabric.CarrierLoss{}
		return nil
	}},
}

// details are what may follow, in any order.
var details = []word{
	{"from", "HOST", "frames that the host sends", func(d *draft, v string) error { d.add(fabric.FromPort(v)); return nil }},
	{"to", "HOST", "frames that go to the host", func(d *draft, v string) error { d.add(fabric.ToPort(v)); return nil }},
	{"roce", "", "RoCEv2 packets", func(d *draft, _ string) error { d.add(fabric.IsRoCE()); return nil }},
	{"not-roce", "", "everything else", func(d *draft, _ string) error { d.add(fabric.Not(fabric.IsRoCE())); return nil }},
	{"arp", "", "what resolves neighbours", func(d *draft, _ string) error { d.add(fabric.IsARPOrND()); return nil }},
	{"qp", "NUMBER", "RoCEv2 packets to the queue pair", func(d *draft, v string) error {
		n, err := number(v)
		d.add(fabric.DestQP(uint32(n)))
		return err
	}},
	{"nth", "NUMBER[,NUMBER]", "only these of them", func(d *draft, v string) error {
		var all fabric.Nth
		for text := range strings.SplitSeq(v, ",") {
			n, err := number(text)
			if err != nil {
				return err
			}
			all = append(all, n)
		}
		d.Pick = all
		return nil
	}},
	{"first", "NUMBER", "only the first so many", func(d *draft, v string) error {
		n, err := number(v)
		d.Pick = fabric.First(n)
		return err
	}},
	{"every", "NUMBER", "only each so-many-th", func(d *draft, v string) error {
		n, err := number(v)
		d.Pick = fabric.Every(n)
		return err
	}},
	{"chance", "PROBABILITY", "each with a probability of 0 to 1", func(d *draft, v string) error {
		p, err := strconv.ParseFloat(v, 64)
		if err != nil || p < 0 || p > 1 {
			return usage("%q is no probability of 0 to 1", v)
		}
		d.Pick = fabric.Chance{Probability: p, Seed: 1}
		return nil
	}},
	{"at", "HOST", "of carrier: the host whose link goes down; may be said again", func(d *draft, v string) error {
		loss, ok := d.Action.(fabric.CarrierLoss)
		if !ok {
			return usage("'at' belongs to carrier")
		}
		loss.Ports = append(loss.Ports, v)
		d.Action = loss
		return nil
	}},
	{"after", "TIME", "begins so much later", func(d *draft, v string) (err error) { d.After, err = duration(v); return err }},
	{"for", "TIME", "is over after so long", func(d *draft, v string) (err error) { d.For, err = duration(v); return err }},
}

func (d *draft) add(p fabric.Predicate) { d.match = append(d.match, p) }

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, usage("%q is no time, such as 50ms", text)
	}
	return d, nil
}

func number(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 0, 31)
	if err != nil {
		return 0, usage("%q is no number", text)
	}
	return n, nil
}

// ParseFault reads a fault in words: an action, and whatever narrows it. A word that is not known, or lacks what should
// follow it, is an error of [Usage].
func ParseFault(words []string) (fabric.Fault, error) {
	var d draft
	table := actions
	for len(words) > 0 {
		rest, err := d.take(table, words)
		if err != nil {
			return fabric.Fault{}, err
		}
		words, table = rest, details
	}
	if d.Action == nil {
		return fabric.Fault{}, usage("a fault begins with %s", names(actions))
	}
	if len(d.match) > 0 {
		d.Match = fabric.And(d.match...)
	}
	return d.Fault, nil
}

// take reads one word and what follows it, and gives the rest.
func (d *draft) take(table []word, words []string) ([]string, error) {
	for _, w := range table {
		switch {
		case w.name != words[0]:
			continue
		case w.takes == "":
			return words[1:], w.set(d, "")
		case len(words) == 1:
			return nil, usage("%s needs %s", w.name, w.takes)
		default:
			return words[2:], w.set(d, words[1])
		}
	}
	return nil, usage("%q is none of %s", words[0], names(table))
}

func names(table []word) string {
	var all []string
	for _, w := range table {
		all = append(all, w.name)
	}
	return strings.Join(all, ", ")
}

func faultHelp() string {
	var all strings.Builder
	all.WriteString("fault add RAIL ACTION [DETAIL...], such as: fault add rail0 drop from server roce every 3 for 10s\nactions:\n")
	for _, w := range actions {
		fmt.Fprintf(&all, "  %-24s %s\n", w.name+" "+w.takes, w.does)
	}
	all.WriteString("details, in any order:\n")
	for _, w := range details {
		fmt.Fprintf(&all, "  %-24s %s\n", w.name+" "+w.takes, w.does)
	}
	return strings.TrimRight(all.String(), "\n")
}
