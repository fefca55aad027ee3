// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// loginString is one that must be refused. ID and HALF stand for what a target is called, ADDRESS and HOST for where it is.
type loginString struct{ name, clause, text string }

var loginStrings = []loginString{
	{"a login string has an unknown parameter", "SRP-SYSFS-004", "ID,dest=ADDRESS,color=blue"},
	{"a login string has a parameter without a value", "SRP-SYSFS-004", "ID,dest=ADDRESS,initiator_ext="},
	{"a login string has no dest", "SRP-SYSFS-005", "ID"},
	{"a login string has no ioc_guid", "SRP-SYSFS-005", "HALF,dest=ADDRESS"},
	{"a login string has a dest without a port", "SRP-SYSFS-006", "ID,dest=HOST"},
	{"a login string has queue_size 0", "SRP-SYSFS-003", "ID,dest=ADDRESS,queue_size=0"},
	{"a login string has cmd_sg_entries 256", "SRP-SYSFS-003", "ID,dest=ADDRESS,cmd_sg_entries=256"},
	{"a login string has tl_retry_count 8", "SRP-SYSFS-003", "ID,dest=ADDRESS,tl_retry_count=8"},
	{"a login string has io_class 1", "SRP-SYSFS-003", "ID,dest=ADDRESS,io_class=0001"},
}

func asking() []Provocation {
	var all []Provocation
	for _, s := range loginStrings {
		all = append(all, Provocation{Name: s.name, Clauses: []string{s.clause}, Run: func(ctx context.Context, e *Execution) error { return s.refused(ctx, e) }})
	}
	return append(all,
		Provocation{Name: "all parameters of a login string are used", Clauses: []string{"SRP-SYSFS-003"}, Run: allParameters},
		Provocation{Name: "a target is added twice", Clauses: []string{"SRP-SYSFS-007"}, Run: addedTwice},
		Provocation{Name: "a target does not answer the first login", Clauses: []string{"SRP-SYSFS-009"}, Takes: 6 * time.Second, Run: firstUnanswered},
		Provocation{Name: "a port is deleted", Clauses: []string{"SRP-SYSFS-013"}, Takes: 4 * time.Second, Run: nothingAfterDelete},
	)
}

func (s loginString) refused(ctx context.Context, e *Execution) error {
	v, err := e.Serve(script.Script{})
	if err != nil {
		return err
	}
	id := fmt.Sprintf("id_ext=%016x", v.Place.IDExt)
	text := strings.NewReplacer("ID", fmt.Sprintf("%s,ioc_guid=%016x", id, v.Place.IOCGUID), "HALF", id, "ADDRESS", v.Place.Addr().String(), "HOST", v.Place.Addr().Addr().String()).Replace(s.text)
	patience, cancel := e.patient(ctx)
	defer cancel()
	d, err := e.setup.Initiator.Add(patience, text, e.usual())
	if err == nil {
		e.disks = append(e.disks, d)
	}
	if n := v.Asked(); n > 0 {
		return finding.Broken(s.clause, "a login comes for the string %s, which must be refused", text)
	}
	return failed(s.clause, "adding a target by the string "+text, bounded(patience, err), syscall.EINVAL)
}

// allParameters uses each parameter with a value that it can have.
func allParameters(ctx context.Context, e *Execution) error {
	for _, p := range []string{
		"max_sect=512", "max_cmd_per_lun=1", "target_can_queue=1", "queue_size=1", "io_class=0100", "initiator_ext=00000000000000ff",
		"cmd_sg_entries=1", "cmd_sg_entries=255", "allow_ext_sg=0", "sg_tablesize=12", "comp_vector=0", "tl_retry_count=2", "tl_retry_count=7",
		"max_it_iu_size=0", "ch_count=1",
	} {
		v, err := e.serveAt(script.NewPlace(e.setup.Devices[0], parametersPort), script.Script{})
		if err != nil {
			return err
		}
		d, err := e.Add(ctx, v, e.usual(), p)
		if err == nil {
			err = errors.Join(Usable(ctx, d), e.delete(ctx, d))
		}
		if err != nil {
			return finding.Broken("SRP-SYSFS-003", "with %s: %v", p, err)
		}
		if err := v.Shut(); err != nil {
			return err
		}
	}
	return nil
}

// parametersPort is where the targets of allParameters listen, one after the other.
const parametersPort = OrdinaryPort + 1

func addedTwice(ctx context.Context, e *Execution) error {
	const clause = "SRP-SYSFS-007"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if _, err := e.Add(ctx, v, e.usual()); err != nil {
		if err := failed(clause, "adding a target that is connected already", err, syscall.EEXIST); err != nil {
			return err
		}
		return broken(clause, Usable(ctx, d))
	}
	return finding.Broken(clause, "a target that is connected already can be added")
}

// firstUnanswered leaves the first login without an answer.
func firstUnanswered(ctx context.Context, e *Execution) error {
	const clause = "SRP-SYSFS-009"
	v, err := e.Serve(script.Script{Login: (*script.Login).Ignore})
	if err != nil {
		return err
	}
	most := e.setup.Initiator.Timers().AttemptMax
	patience, cancel := e.patient(ctx, most)
	defer cancel()
	_, err = e.Add(patience, v, e.usual())
	return failed(clause, fmt.Sprintf("adding a target that does not answer, within %s and %s,", most, e.setup.Patience), err)
}

// nothingAfterDelete looks for logins after a port was deleted while it was lost.
func nothingAfterDelete(ctx context.Context, e *Execution) error {
	const clause = "SRP-SYSFS-013"
	t := Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(3)}
	v, d, err := e.beginWith(ctx, script.Script{}, t)
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = func(l *script.Login) { l.Reject(srp.RejectNoResources) } }) // it stays blocked
	e.hangup(ctx, v)
	if err := e.awaitState(ctx, Survival, d, Blocked, 0); err != nil {
		return err
	}
	if err := e.delete(ctx, d); err != nil {
		return broken(Survival, err)
	}
	before := v.Asked()
	patience, cancel := context.WithTimeout(ctx, t.ReconnectDelay+e.seconds(1))
	defer cancel()
	if err := v.Await(patience, "a login comes", func() bool { return len(v.Logins) > before }); err == nil {
		return finding.Broken(clause, "a login comes after the deletion of the port")
	}
	return nil
}
