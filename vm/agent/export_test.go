// SPDX-License-Identifier: Apache-2.0

package agent

import "context"

// ExchangeTimes is Clock without the part that writes to the kernel's log.
func (c *Client) ExchangeTimes(ctx context.Context) (Clock, error) { return c.exchangeTimes(ctx) }
