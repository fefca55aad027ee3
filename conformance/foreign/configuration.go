// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Configuration is what the owner of a target starts it with: settings of the form NAME=VALUE, whose names are the owner's own.
type Configuration []string

// ParseConfiguration reads NAME=VALUE[,NAME=VALUE...].
func ParseConfiguration(text string) (Configuration, error) {
	c := Configuration(strings.Split(text, ","))
	if err := c.Check(); err != nil {
		return nil, err
	}
	return c, nil
}

// String is the form that ParseConfiguration reads.
func (c Configuration) String() string { return strings.Join(c, ",") }

// Check refuses what is not of the form NAME=VALUE, and a name that is there twice.
func (c Configuration) Check() error {
	var names []string
	for _, setting := range c {
		name, value, ok := strings.Cut(setting, "=")
		if !ok || name == "" || value == "" || strings.ContainsAny(setting, ", \t\r\n") {
			return fmt.Errorf("%q is not of the form NAME=VALUE, without blanks", setting)
		}
		if slices.Contains(names, name) {
			return fmt.Errorf("%q sets %s twice", c, name)
		}
		names = append(names, name)
	}
	return nil
}

// CheckConfigurations refuses configurations in which a target cannot be judged: those that are not of the form NAME=VALUE, those that
// are there twice, and any without a hook.
func CheckConfigurations(all []Configuration, hook Hook) error {
	if len(all) > 0 && len(hook) == 0 {
		return fmt.Errorf("%q needs a control hook with the action %s", all[0], Configure)
	}
	for i, c := range all {
		if len(c) == 0 {
			return errors.New("one of them has no setting")
		}
		if err := c.Check(); err != nil {
			return err
		}
		if slices.ContainsFunc(all[:i], func(other Configuration) bool { return slices.Equal(other, c) }) {
			return fmt.Errorf("%q is there twice", c)
		}
	}
	return nil
}

// Configured is the target in each of its configurations.
func (t target) Configured() []Subject {
	if len(t.Configurations) == 0 {
		return []Subject{t}
	}
	var all []Subject
	for _, c := range t.Configurations {
		one := t
		one.as = c
		all = append(all, one)
	}
	return all
}

// configure has the hook start the target with its settings, and waits until it serves.
func (r *TargetRun) configure(ctx context.Context) error {
	if len(r.target.as) == 0 {
		return nil
	}
	_, err := r.control(ctx, Configure, r.target.as...)
	if errors.Is(err, ErrNotSupported) {
		return refuse("the control hook does not know the action %s, which starts the target with %s", Configure, r.target.as)
	}
	if err != nil {
		return err
	}
	return r.Recover(ctx)
}
