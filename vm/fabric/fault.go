// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Fault says what happens to which frames, and when. It is a value: it can be kept in a table, listed, printed and injected
// on several rails, each time with counters and random numbers that begin anew.
type Fault struct {
	Action Action        // what happens
	Match  Predicate     // to which frames; nil stands for every frame
	Pick   Pick          // to which of these; nil stands for all of them
	After  time.Duration // how long after the injection it begins
	For    time.Duration // how long it lasts once begun; 0 stands for until it is removed
}

// String gives the fault as one line, such as "drop from alpha and roce, nth 3, after 1s, for 2s".
func (f Fault) String() string {
	s := "nothing"
	if f.Action != nil {
		s = f.Action.String()
	}
	if f.Match != nil {
		s += " " + f.Match.String()
	}
	if f.Pick != nil {
		s += ", " + f.Pick.String()
	}
	if f.After > 0 {
		s += fmt.Sprintf(", after %v", f.After)
	}
	if f.For > 0 {
		s += fmt.Sprintf(", for %v", f.For)
	}
	return s
}

// MarshalJSON gives the fault as an object for evidence: action, match and pick as they print (null where nil), after and
// for in seconds. Predicates are code, so there is no way back.
func (f Fault) MarshalJSON() ([]byte, error) {
	action, err1 := marshalText(f.Action)
	match, err2 := marshalText(f.Match)
	pick, err3 := marshalText(f.Pick)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Action json.RawMessage `json:"action"`
		Match  json.RawMessage `json:"match"`
		Pick   json.RawMessage `json:"pick"`
		After  float64         `json:"after_s"`
		For    float64         `json:"for_s"`
	}{action, match, pick, f.After.Seconds(), f.For.Seconds()})
}

func (f Fault) check() error {
	if f.Action == nil {
		return errors.New("fault: it has no action")
	}
	if err := f.Action.check(); err != nil {
		return err
	}
	if _, carrier := f.Action.(CarrierLoss); carrier && (f.Match != nil || f.Pick != nil) {
		return errors.New("fault: a carrier loss hits a link, not frames; leave Match and Pick nil")
	}
	if f.Pick != nil {
		if err := f.Pick.check(); err != nil {
			return err
		}
	}
	if f.After < 0 || f.For < 0 {
		return fmt.Errorf("fault: after %v, for %v: neither may be negative", f.After, f.For)
	}
	return nil
}
