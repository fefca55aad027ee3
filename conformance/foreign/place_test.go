// SPDX-License-Identifier: Apache-2.0

package foreign

import "testing"

func TestListening(t *testing.T) {
	if all, err := (Place{Netdev: "lo"}).listening(); err != nil || len(all) == 0 {
		t.Errorf("%v, %v", all, err)
	}
	if all, err := (Place{Netdev: "no-such-dev"}).listening(); err == nil {
		t.Errorf("an interface that is not there has %v", all)
	}
	if err := (Place{}).CheckListening(); err == nil {
		t.Error("no place is taken for one")
	}
}
