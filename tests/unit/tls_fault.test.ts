import { test } from "node:test";
import assert from "node:assert/strict";
import { clearAlert, type TlsFault, tlsFault } from "../../src/runtime/tls_fault.ts";

test("the texts of BoringSSL, OpenSSL and rustls are the same faults", () => {
  const cases: [fault: TlsFault, ...texts: string[]][] = [
    [
      "alert unknown_ca",
      ...["tlsv1 alert unknown ca", "ssl/tls alert unknown ca"],
      "received fatal alert: UnknownCA",
    ],
    [
      "alert bad_certificate",
      ...["sslv3 alert bad certificate", "ssl/tls alert bad certificate"],
      "received fatal alert: BadCertificate",
    ],
    [
      "alert certificate_required",
      ...["tlsv1 alert certificate required", "tlsv13 alert certificate required"],
      "received fatal alert: CertificateRequired",
    ],
    [
      "alert unrecognized_name",
      ...["tlsv1 unrecognized name", "received fatal alert: UnrecognisedName"],
    ],
    ["alert unknown_psk_identity", "received fatal alert: UnknownPSKIdentity"],
    ["alert bad_record_mac", "sslv3 alert bad record mac", "received fatal alert: BadRecordMac"],
    [
      "not-tls",
      ...["http request", "https proxy request", "wrong version number", "unknown protocol"],
      "received corrupt message of type InvalidContentType",
    ],
    [
      "version",
      "unsupported protocol",
      "peer is incompatible: SignatureAlgorithmsExtensionRequired",
    ],
    [
      "parameters",
      ...["no shared cipher", "wrong curve", "no common signature algorithms"],
      ...["no suitable key share", "peer is incompatible: NoCipherSuitesInCommon"],
      "peer is incompatible: NoKxGroupsInCommon",
    ],
    ["alpn", "no application protocol", "peer doesn't support any known protocol"],
    ["renegotiation", "no renegotiation"],
    [
      "decryption",
      ...["decryption failed or bad record mac", "bad packet length"],
      "cannot decrypt peer's message",
    ],
    [
      "violation",
      ...["unexpected message", "excess handshake data", "too many key updates", "anything new"],
      ...["peer misbehaved: TooManyKeyUpdateRequests", "no such thing"],
    ],
  ];
  for (const [fault, ...texts] of cases) {
    for (const text of texts) assert.equal(tlsFault(text), fault, text);
  }
});

test("an alert in the clear is found among records", () => {
  const find = (hex: string) => clearAlert(Buffer.from(hex, "hex"));
  assert.equal(find("15030300020230"), "alert unknown_ca");
  assert.equal(find("140303000101" + "1503030002022a" + "ffff"), "alert bad_certificate");
  // An encrypted one is longer, and its number is not to be read.
  assert.equal(find("1503030013" + "30".repeat(19)), undefined);
  for (
    const hex of [
      "",
      "1503",
      "150303000202",
      "474554202f20485454502f",
      "160303ffff0102",
      "150303000202ff",
    ]
  ) {
    assert.equal(find(hex), undefined, hex);
  }
});
