// SPDX-License-Identifier: Apache-2.0

package clauses

import "strings"

// Closest gives the word of a list that another was likely meant to be, "" if none is close. Upper and lower case are the same.
func Closest(word string, list []string) string {
	closest, least := "", len(word)/3+1 // more than a third of it wrong is another word
	for _, candidate := range list {
		if d := distance(strings.ToUpper(word), strings.ToUpper(candidate)); d < least {
			closest, least = candidate, d
		}
	}
	return closest
}

// distance is how many bytes have to be inserted, deleted or replaced to make the one of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of what there is of a to all beginnings of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
