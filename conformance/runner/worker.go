// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// WorkerArgument is the only argument of a program that was started as a worker, and has to call [Work].
const WorkerArgument = "worker"

// suiteName is what Ginkgo calls the suite; it stands in front of every spec's name when names are matched.
const suiteName = "conformance"

// orders is what a supervisor tells a worker on its standard input.
type orders struct {
	Number int        // of the worker, from 0
	Specs  []string   // names; at least one
	Claims claims     // of the workers that have the same specs
	Seed   int64      // of the order in which specs run
	Kit    kit.Config // what is under test, and where
	Rerun  string     // how the user runs one spec again; %s is the name
}

// messageDescriptor is where a worker finds the pipe to its supervisor: the first after the standard three.
const messageDescriptor = 3

// errNotStarted is that of a worker which somebody has typed.
var errNotStarted = errors.New("a worker is started by 'ibnbd-conformance run', not by hand")

// Work is the whole life of a worker process. It reads its orders from in, finds the protocol that they name, and runs those of
// their specs that it claims first; what Ginkgo prints goes to standard output. Its findings go to the supervisor; the error is
// only for a worker that was not started by one.
func Work(ctx context.Context, in io.Reader, protocolOf func(name string) *kit.Protocol) error {
	var o orders
	if err := json.NewDecoder(in).Decode(&o); err != nil || len(o.Specs) == 0 {
		return errNotStarted
	}
	protocol := protocolOf(o.Kit.Protocol)
	if protocol == nil {
		return errNotStarted
	}
	var stat unix.Stat_t
	if err := unix.Fstat(messageDescriptor, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		return errNotStarted
	}
	unix.CloseOnExec(messageDescriptor) // the machines of the lab have nothing to tell
	out := newSender(os.NewFile(messageDescriptor, "supervisor"))
	kit.Configure(o.Kit, *protocol)
	tell(out, o)
	runSpecs(o)
	if out.err != nil {
		return fmt.Errorf("worker: report to the supervisor: %w", out.err)
	}
	return ctx.Err()
}

// tell makes Ginkgo tell the supervisor what happens.
func tell(out *sender, o orders) {
	ginkgo.BeforeSuite(func(ctx ginkgo.SpecContext) {
		if err := kit.Boot(ctx); err != nil {
			out.send(message{Kind: failed, Text: err.Error()})
			ginkgo.AbortSuite(err.Error())
		}
		out.send(message{Kind: ready})
	}, ginkgo.NodeTimeout(kit.BootTimeout))
	ginkgo.AfterSuite(func(ctx ginkgo.SpecContext) {
		results, err := kit.Shutdown(ctx)
		if err != nil {
			out.send(message{Kind: failed, Text: err.Error()})
			return
		}
		out.send(message{Kind: closed, Results: results})
	}, ginkgo.NodeTimeout(kit.ShutdownTimeout))
	mine := false
	ginkgo.ReportBeforeEach(func(r ginkgo.SpecReport) {
		mine = false
		if r.State == types.SpecStateSkipped || r.State == types.SpecStatePending {
			return
		}
		name := claim.SpecName(r)
		var err error
		if mine, err = o.Claims.take(identity(r)); err != nil {
			out.send(message{Kind: failed, Text: fmt.Sprintf("cannot claim %q: %v; free space there, or set TMPDIR", name, err)})
		}
		if mine {
			out.send(message{Kind: begun, Spec: name})
		}
	})
	kit.AdmitBy(func() bool { return mine })
	ginkgo.ReportAfterEach(func(r ginkgo.SpecReport) {
		if !mine {
			return
		}
		results := kit.MarkInconclusive(specreport.Results(r))
		if len(results) == 0 {
			return
		}
		verdicts := make([]verdict.Verdict, len(results))
		for i := range results {
			results[i].Rerun = fmt.Sprintf(o.Rerun, results[i].Spec)
			verdicts[i] = results[i].Verdict
		}
		out.send(message{Kind: ended, Spec: claim.SpecName(r), Verdict: verdict.Worst(verdicts...), Results: results, Passive: kit.MarkInconclusive(kit.Passive())})
	})
}

// identity tells a spec from all others: those of one name claim different clauses.
func identity(r ginkgo.SpecReport) string {
	return strings.Join(append(claim.IDs(r.Labels()), claim.SpecName(r)), " ")
}

// runSpecs runs the named specs in this process.
func runSpecs(o orders) {
	suite, reporter := ginkgo.GinkgoConfiguration()
	suite.FocusStrings = []string{exactly(o.Specs)}
	suite.RandomSeed = o.Seed
	suite.RandomizeAllSpecs = os.Getenv(kit.LongFirst) != "" // else a container would come as early as the longest spec in it
	suite.Timeout = kit.RunTimeout
	reporter.NoColor, reporter.VeryVerbose, reporter.SilenceSkips = true, true, true
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(noTest{}, suiteName, suite, reporter)
}

// exactly is the regular expression that these names match, and no others.
func exactly(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return fmt.Sprintf("^%s (?:%s)$", suiteName, strings.Join(quoted, "|"))
}

// noTest stands where Ginkgo wants a *testing.T: the verdict of a run is made from results, not from it.
type noTest struct{}

func (noTest) Fail() {}
