// SPDX-License-Identifier: Apache-2.0

package ibtrs

// Handler is what a server's requests are for: the block protocol.
type Handler interface {
	// Connected is called when a session gets its first connected path. An error closes the path.
	Connected(s *ServerSession) (SessionHandler, error)
}

// SessionHandler serves one session as long as it has a connected path. A session that loses all its paths and comes
// back gets a new one.
type SessionHandler interface {
	// Handle is given a request, and must see to it that [ServerRequest.Respond] is called exactly once, from any
	// goroutine. It runs in the goroutine that polls the connection, and must not wait.
	Handle(r *ServerRequest)
	// Disconnected is called when the last path of the session is down. All requests have been responded to.
	Disconnected()
}
