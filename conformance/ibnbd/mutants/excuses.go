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
