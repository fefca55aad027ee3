// SPDX-License-Identifier: Apache-2.0

package provocations

// What is known of provocations, by their names: each line is a finding about some initiator. Beside them the table says only
// what is right.

// hard are those that are more than some initiator can take, with the clause that then decides instead of Survival.
var hard = map[string]string{
	"an accept has everything at its largest":                   SurvivalDeadly,
	"a server has queue depth 1":                                SurvivalDeadly,
	"a response comes by SEND although keys are kept":           SurvivalHanging,
	"an application goes whose write is on a path that is lost": SurvivalHanging,
	"an application goes whose write comes late":                SurvivalHanging,
	"a server writes behind the place for the data of a read":   SurvivalHanging,
	"an accept has a huge header size":                          SurvivalWarning,
	"responses name the chunk behind the last, and the largest": SurvivalWarning,
	"a heartbeat is acknowledged on a connection for I/O":       SurvivalWarning,
	"heartbeats come on a connection for I/O":                   SurvivalWarning,
	"an accept has queue depth 0":                               SurvivalWarning,
	"a heartbeat comes in front of the INFO response":           SurvivalWarning,
	"a key response names another chunk":                        SurvivalWarning,
	"a key response names a chunk that does not exist":          SurvivalWarning,
}

// costly are those over which some initiator waits for its longest timers, and those after which its machine must be replaced
// though another of the same kind has shown what is wrong.
var costly = map[string]bool{
	"an accept has a huge header size":                    true,
	"the accept of a later connection has another magic":  true,
	"a heartbeat is acknowledged on a connection for I/O": true,
	"a response comes by SEND although keys are kept":     true,
	"a heartbeat comes in front of the INFO response":     true,
	"a key response names a chunk that does not exist":    true,
	"an accept has queue depth 0":                         true,
	"a server rejects a later connection":                 true,
	"a server rejects with error number 0":                true,
	"a server rejects without private data":               true,
	"a server disconnects with its first accept":          true,
}

// note puts down what is known of the provocation.
func (c *Provocation) note() { c.Instead, c.Costly = hard[c.Name], costly[c.Name] }
