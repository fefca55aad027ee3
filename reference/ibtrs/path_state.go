// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "fmt"

// PathState is the state of a path, on either side.
type PathState uint8

// The states of a path. A server's paths know only StateConnecting, StateConnected, StateClosing and StateClosed.
const (
	StateConnecting PathState = iota
	StateConnectingErr
	StateReconnecting
	StateConnected
	StateClosing
	StateClosed
	StateDead
)

var pathStateNames = [...]string{"connecting", "connecting_err", "reconnecting", "connected", "closing", "closed", "dead"}

// String names the state in lower case.
func (s PathState) String() string {
	if int(s) < len(pathStateNames) {
		return pathStateNames[s]
	}
	return fmt.Sprintf("PathState(%d)", uint8(s))
}

// transitions is a table of which states may follow a state.
type transitions [StateDead + 1][]PathState

// clientTransitions are the legal transitions of a client's path, and no others (Clause IBTRS-PATH-001).
var clientTransitions = transitions{
	StateConnecting:    {StateConnected, StateConnectingErr, StateClosing},
	StateConnectingErr: {StateReconnecting, StateClosing},
	StateReconnecting:  {StateConnecting, StateClosing},
	StateConnected:     {StateReconnecting, StateClosing},
	StateClosing:       {StateClosed},
	StateClosed:        {StateReconnecting, StateDead},
}

// serverTransitions are those of a server's path (Clause IBTRS-PATH-002).
var serverTransitions = transitions{
	StateConnecting: {StateConnected, StateClosing},
	StateConnected:  {StateClosing},
	StateClosing:    {StateClosed},
}

func (t *transitions) allow(from, to PathState) bool {
	for _, s := range t[from] {
		if s == to {
			return true
		}
	}
	return false
}
