// SPDX-License-Identifier: Apache-2.0

package mutants

import "github.com/ibnbd/ibnbd/conformance/mutant"

// excuses are why clauses of SRP have no mutant.
var excuses = []mutant.Excuse{
	{Reason: "what specs see of an initiator they see in the lab, where none is broken on purpose yet, or no spec decides it", Clauses: []string{
		"SRP-LOGIN", "SRP-LOGOUT", "SRP-CH", "SRP-CMD", "SRP-RSP", "SRP-DATA", "SRP-CRED", "SRP-TM", "SRP-STATE", "SRP-TMO",
		"SRP-RECON", "SRP-MP", "SRP-SYSFS", "SRP-ROB",
	}},
	{Reason: "an RDMA WRITE of nothing is taken by the device, which no rule of the initiator changes", Clauses: []string{"SRP-LOGIN-033"}},
	{Reason: "units that come before the confirmation wait in the completion queue, whose order no rule of the target changes", Clauses: []string{"SRP-LOGIN-029"}},
	{Reason: "a kernel log is read in the lab alone, where nothing of SRP is broken on purpose yet", Clauses: []string{"SRP-ROB-004"}},
}
