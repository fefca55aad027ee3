// SPDX-License-Identifier: Apache-2.0

package conformance

import "github.com/ibnbd/ibnbd/conformance/standard"

// editions are all of the standard's, the last first; its number is clauses.Edition.
var editions = []standard.Edition{
	{Number: "3.0", What: `Heartbeats are sent on connection 0 (IBTRS-HB-013), a path that is connected again has all its attempts again
(IBTRS-PATH-028), and a secure erase has a clause (IBNBD-IO-032). That a path which is being closed answers nothing, and that nothing is executed twice, are two clauses (IBTRS-PATH-020,
IBTRS-PATH-027). Error numbers and times of one implementation are advice, or gone (IBNBD-OPEN-015, IBNBD-OPEN-036, IBTRS-CONN-045,
IBTRS-HB-005, SRP-STATE-002, SRP-STATE-014, SRP-TMO-010).`},
	{Number: "2.0", What: `Each text demands one thing in the words of RFC 2119, of those whom it can bind, with layouts in an annex. What the
seeds say of initiators is demanded, too, and what somebody needs who has nothing but this document.`},
	{Number: "1.0", What: "The tables of requirements with which the suite began."},
}
