// SPDX-License-Identifier: Apache-2.0

package judge

// reqPrivate is the offset of the application's private data in a connection request.
const reqPrivate = 24 + 140 + 36

// Addresses of mainline's two sides in the captures.
const (
	client = "10.0.0.2"
	server = "10.0.0.1"
)

const anyRead = 0
