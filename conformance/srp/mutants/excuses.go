// SPDX-License-Identifier: Apache-2.0

package mutants

import "github.com/ibnbd/ibnbd/conformance/mutant"

// excuses are why clauses of SRP have no mutant.
var excuses = []mutant.Excuse{
	{Reason: "this project has no implementation of SRP that could be broken: of SRP, recordings are altered, and they show only what is on the wire", Clauses: []string{
		"SRP-LOGIN", "SRP-LOGOUT", "SRP-CH", "SRP-CMD", "SRP-RSP", "SRP-DATA", "SRP-CRED", "SRP-TM", "SRP-STATE", "SRP-TMO",
		"SRP-RECON", "SRP-MP", "SRP-TGT", "SRP-ROB", "SRP-SYSFS",
	}},
}
