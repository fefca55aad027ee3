// SPDX-License-Identifier: Apache-2.0

package mutants

// excuse is why some clauses have no mutant. An excuse for a clause that has one gets a complaint, as has a clause with neither.
type excuse struct {
	reason  string
	clauses []string // ids, and names of whole areas
}

// excuses are all of them. A mutant lives in this process, in a recording, or in what guests show and send; what it would take
// more to break stands here.
var excuses = []excuse{
	{"it takes two minutes in the lab to see how often a path is tried, and as long again for the control", []string{"IBTRS-PATH-007"}},
	{"it is about an option that mainline's client does not have, and no other that the suite can run has sysfs", []string{"IBNBD-SYSFS-007"}},
	{"mainline breaks it, so that the lab has no control for a mutant", []string{"IBTRS-CONN-053", "IBNBD-SYSFS-022", "IBNBD-FAIL-026", "IBTRS-INV-016", "IBNBD-FAIL-028"}},
	{"it is decided on a kernel's module that is loaded and unloaded, or whose machine loses power: it takes a broken kernel module in a guest", []string{
		"IBNBD-FAIL-001", "IBNBD-FAIL-007", "IBNBD-FAIL-011", "IBNBD-FAIL-012",
		"IBTRS-PATH-017",
	}},
	{"it is decided by what an application feels while the wire or the target breaks, in the lab alone: no mutant of the client that serves a disk runs there", []string{
		"IBNBD-FAIL-020", "IBNBD-FAIL-027",
	}},
	{"it is about the data of reads where keys are kept, and the mutants of the lab have theirs refreshed", []string{"IBTRS-IO-037"}},
	{"it needs more memory, paths or time than a mutant is given: a thousand chunks, 129 paths, a minute of waiting", []string{
		"IBTRS-INFO-023", "IBTRS-CONN-035", "IBTRS-CONN-050",
	}},
	{"it is decided in the lab by what disks and device files of the target's machine do: it takes a broken server on a machine of its own", []string{
		"IBNBD-FAIL-013",
		"IBTRS-PATH-020", "IBNBD-FAIL-016", // while a slow disk is at work
		"IBTRS-IMM-005", // a disk that fails with a number above 511
	}},
	{"it is decided in the lab beside another implementation, or with features that only this project's have: no mutant of those runs there", []string{
		"IBNBD-COMPAT-001", "IBNBD-COMPAT-002", "IBNBD-COMPAT-003", "IBNBD-IO-008", "IBNBD-IO-022", "IBNBD-OPEN-025",
	}},
	{"a target that listens elsewhere cannot be told from none: the suite then says that there is no target", []string{
		"IBTRS-CONN-001",
	}},
	{"this project has no implementation of SRP that could be broken: of SRP, recordings are altered, and they show only what is on the wire", []string{
		"SRP-LOGIN", "SRP-LOGOUT", "SRP-CH", "SRP-CMD", "SRP-RSP", "SRP-DATA", "SRP-CRED", "SRP-TM", "SRP-STATE", "SRP-TMO",
		"SRP-RECON", "SRP-MP", "SRP-TGT", "SRP-ROB", "SRP-SYSFS",
	}},
}

// Excuse is why a clause has no mutant; "" where no reason is known.
func Excuse(id string) string {
	reason, _ := excuseOf(id)
	return reason
}

// excuseOf is the reason why a clause has no mutant, that of the clause before that of its area; "" for none. Named says that
// the clause is named, and not only its area.
func excuseOf(id string) (reason string, named bool) {
	byArea := ""
	for _, e := range excuses {
		for _, word := range e.clauses {
			switch word {
			case id:
				return e.reason, true
			case areaOf(id):
				byArea = e.reason
			}
		}
	}
	return byArea, false
}
