// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

import "time"

// Defaults.
const (
	defaultResolveTimeout = 2 * time.Second
	defaultBacklog        = 128
	defaultMinRNRTimer    = 12
)

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) withDefaults() Config {
	setDefault(&c.ResolveTimeout, defaultResolveTimeout)
	setDefault(&c.Backlog, defaultBacklog)
	setDefault(&c.MinRNRTimer, defaultMinRNRTimer)
	return c
}
