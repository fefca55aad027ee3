// SPDX-License-Identifier: Apache-2.0

package attacks

import "math/rand/v2"

// covering gives rows of one choice for each factor, so that each pair of choices of two factors is in some row. levels are how many
// choices each factor has. It is the same for the same levels.
func covering(levels ...int) [][]int {
	random := rand.New(rand.NewPCG(1, uint64(len(levels))))
	open := make(map[choicePair]bool)
	for a := range levels {
		for b := a + 1; b < len(levels); b++ {
			for x := range levels[a] {
				for y := range levels[b] {
					open[choicePair{a, b, x, y}] = true
				}
			}
		}
	}
	const candidates = 30 // of which the one with most new pairs is taken
	var rows [][]int
	for len(open) > 0 {
		var best []int
		most := 0
		for range candidates {
			row := make([]int, len(levels))
			for f, n := range levels {
				row[f] = random.IntN(n)
			}
			if n := len(pairsIn(row, open)); n > most {
				best, most = row, n
			}
		}
		for _, p := range pairsIn(best, open) {
			delete(open, p)
		}
		if best != nil {
			rows = append(rows, best)
		}
	}
	return rows
}

// choicePair is a choice for each of two factors.
type choicePair struct{ a, b, x, y int }

// pairsIn are the pairs of a row that are still open.
func pairsIn(row []int, open map[choicePair]bool) []choicePair {
	var all []choicePair
	for a := range row {
		for b := a + 1; b < len(row); b++ {
			if p := (choicePair{a, b, row[a], row[b]}); open[p] {
				all = append(all, p)
			}
		}
	}
	return all
}
