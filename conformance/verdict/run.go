// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Run is a run as it was recorded.
type Run struct {
	Header  Header
	Results []Result
	// End is when the run came to its end; zero if it never did.
	End time.Time
	// Torn is set when the journal broke off in the middle of a record.
	Torn bool
}

// Interrupted says whether the run broke off before its end.
func (r Run) Interrupted() bool { return r.End.IsZero() }

// Header says what was judged, where, and how.
type Header struct {
	// Tool is the version of this program.
	Tool string `json:"tool"`
	// Edition is that of the standard, by which the run judges; "" in journals from before it was recorded.
	Edition string `json:"edition,omitempty"`
	// Command is the command line of the run.
	Command []string `json:"command,omitempty"`
	// Start is when the run began. A baseline expires by this date.
	Start time.Time `json:"start"`
	// Seed is where random choices came from.
	Seed int64 `json:"seed"`
	// Selection is the user's filter; empty for the whole suite.
	Selection string `json:"selection,omitempty"`
	// Shard says which part of the selection this run has, if it has not all of it.
	Shard *Shard `json:"shard,omitempty"`
	// Subjects are the implementations under test, one or two; one that was judged in several configurations stands there for each.
	Subjects []Subject `json:"subjects"`
	// Environment is where the run took place.
	Environment Environment `json:"environment"`
	// Baseline has the expected failures of this run.
	Baseline []ExpectedFailure `json:"baseline,omitempty"`
	// BaselineFile is where they were read from, for messages.
	BaselineFile string `json:"baseline_file,omitempty"`
	// BaselineReason is why this baseline was taken.
	BaselineReason string `json:"baseline_reason,omitempty"`
	// Profile is what the subjects must be seen to keep, beside what binds them; nil for nothing.
	Profile *Profile `json:"profile,omitempty"`
	// Specs maps a clause id to the names of the specs that decide it, whether selected or not.
	Specs map[string][]string `json:"specs,omitempty"`
}

// Complete says whether the run was meant to decide everything: nothing was left out by a selection, or left to another shard.
func (h Header) Complete() bool { return h.Selection == "" && h.Shard == nil }

// Chosen says what the run was restricted to, in words; "" for nothing.
func (h Header) Chosen() string {
	if h.Shard == nil {
		return h.Selection
	}
	return strings.TrimSpace(h.Selection + " shard=" + h.Shard.String())
}

// Subject describes one implementation under test.
type Subject struct {
	clauses.Subject
	// Name identifies implementation and version in baselines and reports, e.g. "mainline-6.12".
	Name string `json:"name"`
	// Versions maps a component to its version, e.g. "rnbd-server" to the version of the kernel source.
	Versions map[string]string `json:"versions,omitempty"`
	// Configuration is what it was started with for this run, as its owner names it; "" for what it had.
	Configuration string `json:"configuration,omitempty"`
}

// Environment is where a run took place.
type Environment struct {
	Host        string            `json:"host,omitempty"`         // name of the machine that ran the suite
	Kernel      string            `json:"kernel,omitempty"`       // its kernel release
	Guest       string            `json:"guest,omitempty"`        // kernel release of the lab's machines
	Accelerator string            `json:"accelerator,omitempty"`  // "kvm", "tcg" or "none"
	IOMMU       bool              `json:"iommu,omitempty"`        // whether one stood between the lab's devices and memory
	CPUs        int               `json:"cpus,omitempty"`         // processors of the machine
	Packages    map[string]string `json:"packages,omitempty"`     // exact versions of all that went into the lab
	GuestKernel string            `json:"guest_kernel,omitempty"` // what the lab's machines boot, by its content
	Modules     map[string]string `json:"modules,omitempty"`      // its kernel modules, by their content
	Brought     []string          `json:"brought,omitempty"`      // what of these a user has brought, in words
}

// clauseSubjects are those of a role in a configuration; "" stands for any.
func (h Header) clauseSubjects(role clauses.Role, configuration string) []clauses.Subject {
	var subjects []clauses.Subject
	for _, s := range h.Subjects {
		if (role == "" || s.Role == role) && (configuration == "" || s.Configuration == configuration) {
			subjects = append(subjects, s.Subject)
		}
	}
	return subjects
}

// Validate returns an error that names each field of the header that a run cannot be judged with.
func (h Header) Validate() error {
	var problems []error
	if h.Start.IsZero() {
		problems = append(problems, errors.New("start is not set"))
	}
	if len(h.Subjects) == 0 {
		problems = append(problems, errors.New("there is no subject"))
	}
	for _, s := range h.Subjects {
		if s.Name == "" {
			problems = append(problems, fmt.Errorf("the %s has no name", s.Role))
		}
		if s.Role != clauses.Target && s.Role != clauses.Initiator {
			problems = append(problems, fmt.Errorf("subject %q has role %q, neither target nor initiator", s.Name, s.Role))
		}
		if s.Dialect == "" {
			problems = append(problems, fmt.Errorf("subject %q has no dialect", s.Name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("header of the run: %w", err)
	}
	return nil
}
