/** A stapled OCSP response (RFC 6960 section 4.2.1), read without the library of the Node build. */
import { createHash } from "node:crypto";
import {
  type Der,
  firstDer,
  inside,
  integer,
  OCTET_STRING,
  oidText,
  SEQUENCE,
  timeOf,
} from "../base/der.ts";
import type { Certificate } from "./certificate.ts";

/** What a staple says of the leaf. Its signature is not verified. */
export interface StapleFacts {
  readonly status: "good" | "revoked" | "unknown" | "another certificate" | "unreadable";
  /** Milliseconds since 1970; absent for the last two. */
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
}

const ENUMERATED = 0x0a;
const RESPONSE_BYTES = 0xa0;
const NEXT_UPDATE = 0xa0;
const BASIC = "1.3.6.1.5.5.7.48.1.1";

/** CertStatus is a choice of [0], [1] and [2]; the second is constructed. */
const statuses: Readonly<Record<number, StapleFacts["status"]>> = {
  0x80: "good",
  0xa1: "revoked",
  0x82: "unknown",
};

const digests: Readonly<Record<string, string>> = {
  "1.3.14.3.2.26": "sha1",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

/** Reads a staple for the leaf. Never throws. */
export function readStapleFacts(staple: Uint8Array, leaf: Certificate): StapleFacts {
  try {
    const answers = answersIn(staple);
    const own = answers.find(([id]) => isFor(inside(id, SEQUENCE), leaf));
    if (!own) return { status: "another certificate" };
    const [, status, thisUpdate, ...optional] = own;
    const next = optional.find(({ tag }) => tag === NEXT_UPDATE);
    return {
      status: statuses[status!.tag] ?? "unreadable",
      thisUpdate: timeOf(thisUpdate),
      ...(next ? { nextUpdate: timeOf(firstDer(next.content)) } : {}),
    };
  } catch {
    return { status: "unreadable" };
  }
}

/** Returns the fields of each SingleResponse. Throws an Error. */
function answersIn(staple: Uint8Array): Der[][] {
  const [status, bytes] = inside(firstDer(staple), SEQUENCE);
  if (status?.tag !== ENUMERATED || integer(status) !== 0 || bytes?.tag !== RESPONSE_BYTES) {
    throw new Error("no successful response");
  }
  const [type, response] = inside(firstDer(bytes.content), SEQUENCE);
  if (oidText(type) !== BASIC || response?.tag !== OCTET_STRING) throw new Error("not basic");
  const [data] = inside(firstDer(response.content), SEQUENCE);
  // The optional version, a choice of responder ids, and a time come before the answers.
  const answers = inside(data, SEQUENCE).find(({ tag }) => tag === SEQUENCE);
  return inside(answers, SEQUENCE).map((each) => inside(each, SEQUENCE));
}

/** Whether a CertID names the leaf. The hash of the issuer's key is not compared. */
function isFor([algorithm, nameHash, , serial]: readonly Der[], leaf: Certificate): boolean {
  const digest = digests[oidText(inside(algorithm, SEQUENCE)[0])];
  if (digest === undefined || !nameHash || !serial) return false;
  const expected = createHash(digest).update(leaf.issuerName).digest();
  return expected.equals(nameHash.content) &&
    Buffer.from(serial.content).toString("hex") === leaf.serial;
}
