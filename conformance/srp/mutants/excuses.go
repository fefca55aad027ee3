// SPDX-License-Identifier: Apache-2.0

package mutants

import "github.com/ibnbd/ibnbd/conformance/mutant"

// excuses are why clauses of SRP have no mutant.
var excuses = []mutant.Excuse{
	{Reason: "no spec judges an initiator of SRP yet: of initiators, recordings are altered, and they show only what is on the wire", Clauses: []string{
		"SRP-LOGIN", "SRP-LOGOUT", "SRP-CH", "SRP-CMD", "SRP-RSP", "SRP-DATA", "SRP-CRED", "SRP-TM", "SRP-STATE", "SRP-TMO",
		"SRP-RECON", "SRP-MP", "SRP-SYSFS", "SRP-ROB",
	}},
	{Reason: "units that come before the confirmation wait in the completion queue, whose order no rule of the target changes", Clauses: []string{"SRP-LOGIN-029"}},
	{Reason: "a kernel log is read in the lab alone, where no spec judges SRP yet", Clauses: []string{"SRP-ROB-004"}},
}
