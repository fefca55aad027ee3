// SPDX-License-Identifier: Apache-2.0

package roce

import "fmt"

// RejReason says why a CM message was rejected (InfiniBand Architecture
// Specification, volume 1, table "REJ Reason Codes").
type RejReason uint16

// The reasons.
const (
	RejNoQP                     RejReason = 1
	RejNoEEC                    RejReason = 2
	RejNoResources              RejReason = 3
	RejTimeout                  RejReason = 4
	RejUnsupportedRequest       RejReason = 5
	RejInvalidCommID            RejReason = 6
	RejInvalidCommInstance      RejReason = 7
	RejInvalidServiceID         RejReason = 8
	RejInvalidTransportType     RejReason = 9
	RejStaleConnection          RejReason = 10
	RejRDCNotExist              RejReason = 11
	RejPrimaryRemoteGID         RejReason = 12
	RejPrimaryRemoteLID         RejReason = 13
	RejPrimarySL                RejReason = 14
	RejPrimaryTrafficClass      RejReason = 15
	RejPrimaryHopLimit          RejReason = 16
	RejPrimaryPacketRate        RejReason = 17
	RejAlternateGID             RejReason = 18
	RejAlternateLID             RejReason = 19
	RejAlternateSL              RejReason = 20
	RejAlternateTrafficClass    RejReason = 21
	RejAlternateHopLimit        RejReason = 22
	RejAlternatePacketRate      RejReason = 23
	RejPortCMRedirect           RejReason = 24
	RejPortRedirect             RejReason = 25
	RejInvalidMTU               RejReason = 26
	RejInsufficientResponderRes RejReason = 27
	RejConsumer                 RejReason = 28
	RejRNRRetryCount            RejReason = 29
	RejDuplicateLocalCommID     RejReason = 30
	RejInvalidClassVersion      RejReason = 31
	RejPrimaryFlowLabel         RejReason = 32
	RejAlternateFlowLabel       RejReason = 33
	RejVendorOptionNotSupported RejReason = 35
)

var rejReasonNames = map[RejReason]string{
	RejNoQP:                     "no QP available",
	RejNoEEC:                    "no EEC available",
	RejNoResources:              "no resources",
	RejTimeout:                  "timeout",
	RejUnsupportedRequest:       "unsupported request",
	RejInvalidCommID:            "invalid communication id",
	RejInvalidCommInstance:      "invalid communication instance",
	RejInvalidServiceID:         "invalid service id",
	RejInvalidTransportType:     "invalid transport type",
	RejStaleConnection:          "stale connection",
	RejRDCNotExist:              "RDC does not exist",
	RejPrimaryRemoteGID:         "primary remote GID rejected",
	RejPrimaryRemoteLID:         "primary remote LID rejected",
	RejPrimarySL:                "invalid primary SL",
	RejPrimaryTrafficClass:      "invalid primary traffic class",
	RejPrimaryHopLimit:          "invalid primary hop limit",
	RejPrimaryPacketRate:        "invalid primary packet rate",
	RejAlternateGID:             "invalid alternate GID",
	RejAlternateLID:             "invalid alternate LID",
	RejAlternateSL:              "invalid alternate SL",
	RejAlternateTrafficClass:    "invalid alternate traffic class",
	RejAlternateHopLimit:        "invalid alternate hop limit",
	RejAlternatePacketRate:      "invalid alternate packet rate",
	RejPortCMRedirect:           "port and CM redirection",
	RejPortRedirect:             "port redirection",
	RejInvalidMTU:               "invalid path MTU",
	RejInsufficientResponderRes: "insufficient responder resources",
	RejConsumer:                 "consumer reject",
	RejRNRRetryCount:            "RNR retry count rejected",
	RejDuplicateLocalCommID:     "duplicate local communication id",
	RejInvalidClassVersion:      "invalid class version",
	RejPrimaryFlowLabel:         "invalid primary flow label",
	RejAlternateFlowLabel:       "invalid alternate flow label",
	RejVendorOptionNotSupported: "vendor option not supported",
}

// String gives the meaning of the reason, for example "consumer reject".
func (r RejReason) String() string {
	if name, ok := rejReasonNames[r]; ok {
		return name
	}
	return fmt.Sprintf("reserved reason %d", uint16(r))
}
