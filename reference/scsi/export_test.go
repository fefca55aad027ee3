// SPDX-License-Identifier: Apache-2.0

package scsi

import "fmt"

// CheckForm reports a field that leaves its command block, overlaps another or the operation code, and a form that nothing
// executes.
func CheckForm(f *Form) error {
	if f.plan == nil || f.run == nil {
		return fmt.Errorf("%s has no behaviour", f.Name)
	}
	used := make([]byte, f.Length)
	used[0] = 0xff
	used[f.Length-1] = 0xff // the control byte
	if f.Action >= 0 {
		used[1] = action.Mask
	}
	for _, field := range f.fields() {
		if field.Size == 0 {
			continue
		}
		if field.Name == "" || field.Mask == 0 || field.Offset+field.Size > f.Length {
			return fmt.Errorf("%s: field %+v is not whole", f.Name, *field)
		}
		mine := make([]byte, f.Length)
		field.use(mine)
		for i := range mine {
			if used[i]&mine[i] != 0 {
				return fmt.Errorf("%s: field %s overlaps at byte %d", f.Name, field.Name, i)
			}
			used[i] |= mine[i]
		}
	}
	return nil
}
