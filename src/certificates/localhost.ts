/** A certificate for `--demo`, and for trying settings without the user's (RFC 5280). */
import { createSign, generateKeyPairSync, randomBytes } from "node:crypto";

/** Both as PEM text. */
export interface KeyAndCertificate {
  readonly key: string;
  readonly certificate: string;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Returns a new key (ECDSA, P-256) and a self-signed certificate for `localhost`, 127.0.0.1 and ::1
 * that is valid for a day. `now` is in milliseconds since 1970.
 */
export function localhostCertificate(now = Date.now()): KeyAndCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  // The first byte keeps the serial number positive.
  const serial = Buffer.from([0x40, ...randomBytes(15)]);
  const body = sequence(
    // Version 3.
    explicit(0, der(INTEGER, Buffer.of(2))),
    der(INTEGER, serial),
    ECDSA_WITH_SHA256,
    LOCALHOST_NAME,
    sequence(time(now), time(now + DAY_MS)),
    LOCALHOST_NAME,
    publicKey.export({ type: "spki", format: "der" }),
    explicit(3, sequence(SUBJECT_ALT_NAME)),
  );
  const signature = createSign("sha256").update(body).sign(privateKey);
  const certificate = sequence(body, ECDSA_WITH_SHA256, der(BIT_STRING, Buffer.of(0), signature));
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    certificate: `-----BEGIN CERTIFICATE-----\n${
      certificate.toString("base64").replaceAll(/.{64}/g, "$&\n")
    }\n-----END CERTIFICATE-----\n`,
  };
}

/** Tags of DER (X.690). */
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const UTC_TIME = 0x17;
const SEQUENCE = 0x30;
const SET = 0x31;
/** Tags of subject alternative names. */
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** OID 1.2.840.10045.4.3.2 */
const ECDSA_WITH_SHA256 = sequence(identifier("2a8648ce3d040302"));

/** A name with the common name (OID 2.5.4.3) localhost. */
const LOCALHOST_NAME = sequence(
  der(SET, sequence(identifier("550403"), der(UTF8_STRING, Buffer.from("localhost")))),
);

/** OID 2.5.29.17 */
const SUBJECT_ALT_NAME = sequence(
  identifier("551d11"),
  der(
    OCTET_STRING,
    sequence(
      der(DNS_NAME, Buffer.from("localhost")),
      der(IP_ADDRESS, Buffer.of(127, 0, 0, 1)),
      der(IP_ADDRESS, Buffer.from([...new Array<number>(15).fill(0), 1])),
    ),
  ),
);

function sequence(...parts: Buffer[]): Buffer {
  return der(SEQUENCE, ...parts);
}

function explicit(number: number, content: Buffer): Buffer {
  return der(0xa0 + number, content);
}

function identifier(hex: string): Buffer {
  return der(OBJECT_IDENTIFIER, Buffer.from(hex, "hex"));
}

/** Encodes a date; the year has two digits until 2049 (RFC 5280 section 4.1.2.5). */
function time(milliseconds: number): Buffer {
  const date = new Date(milliseconds);
  const text = `${date.toISOString().replaceAll(/\D/g, "").slice(0, 14)}Z`;
  return date.getUTCFullYear() < 2050
    ? der(UTC_TIME, Buffer.from(text.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(text));
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
