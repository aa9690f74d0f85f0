/**
 * Decrypts private keys. Bun and Deno can open some forms only, so what their `node:crypto` has the
 * ciphers for is decrypted here: PKCS#8 with PBES2 (RFC 8018, scrypt by RFC 7914), and the older
 * encryption by headers (RFC 1421, with OpenSSL's EVP_BytesToKey).
 */
import {
  createDecipheriv,
  createHash,
  createPrivateKey,
  type KeyObject,
  pbkdf2Sync,
  randomBytes,
  scryptSync,
} from "node:crypto";
import { type Der, firstDer, inside, INTEGER, integer, oidText, SEQUENCE } from "../base/der.ts";
import { derOf, headersOf, pemSections } from "../base/pem.ts";
import { keyOf } from "./keys.ts";

/** An encrypted key. */
export interface EncryptedKey {
  /** The encryption, for messages: `PBES2 with scrypt and AES-256-CBC`. */
  readonly scheme: string;
  /**
   * Returns the key, or undefined if the passphrase is wrong. Throws an {@link UnsupportedEncryption}
   * whatever the passphrase is, if this build cannot decrypt it.
   */
  open(passphrase: Buffer): KeyObject | undefined;
}

/** This build's libraries lack the encryption of a key. */
export class UnsupportedEncryption extends Error {
  override readonly name = "UnsupportedEncryption";
}

/** Parses an encrypted key in PEM. Throws an Error if it is malformed. */
export function parseEncryptedKey(pem: Buffer): EncryptedKey {
  const section = pemSections(pem)[0]!;
  const headers = headersOf(section);
  const data = derOf(section);
  if (headers !== "") return byHeaders(pem, data, headers);
  const [algorithm, encrypted] = inside(firstDer(data), SEQUENCE);
  const [id, parameters] = inside(algorithm, SEQUENCE);
  const name = oidText(id);
  if (name === PBES2) return byPbes2(pem, parameters, encrypted!.content);
  const scheme = SCHEMES[name] ?? `the algorithm ${name}`;
  // No build can open these, and Deno blames the passphrase.
  if (name.startsWith(PBES1)) return { scheme, open: unsupported };
  return { scheme, open: (passphrase) => byLibrary(pem, passphrase) };
}

const PBES1 = "1.2.840.113549.1.5.";
const PBES2 = `${PBES1}13`;
const PBKDF2 = `${PBES1}12`;
const SCRYPT = "1.3.6.1.4.1.11591.4.11";

const SCHEMES: Readonly<Record<string, string>> = {
  [`${PBES1}1`]: "PBES1 with MD2 and DES",
  [`${PBES1}3`]: "PBES1 with MD5 and DES",
  [`${PBES1}4`]: "PBES1 with MD2 and RC2",
  [`${PBES1}6`]: "PBES1 with MD5 and RC2",
  [`${PBES1}10`]: "PBES1 with SHA-1 and DES",
  [`${PBES1}11`]: "PBES1 with SHA-1 and RC2",
  "1.2.840.113549.1.12.1.1": "PBE of PKCS#12 with RC4 (128 bits)",
  "1.2.840.113549.1.12.1.2": "PBE of PKCS#12 with RC4 (40 bits)",
  "1.2.840.113549.1.12.1.3": "PBE of PKCS#12 with 3DES",
  "1.2.840.113549.1.12.1.4": "PBE of PKCS#12 with 3DES (two keys)",
  "1.2.840.113549.1.12.1.5": "PBE of PKCS#12 with RC2 (128 bits)",
  "1.2.840.113549.1.12.1.6": "PBE of PKCS#12 with RC2 (40 bits)",
};

const HMACS: Readonly<Record<string, string>> = {
  "1.2.840.113549.2.7": "sha1",
  "1.2.840.113549.2.8": "sha224",
  "1.2.840.113549.2.9": "sha256",
  "1.2.840.113549.2.10": "sha384",
  "1.2.840.113549.2.11": "sha512",
};

/** OpenSSL's names of CBC ciphers and their key lengths in bytes. */
const KEY_BYTES: Readonly<Record<string, number>> = {
  "aes-128-cbc": 16,
  "aes-192-cbc": 24,
  "aes-256-cbc": 32,
  "aria-128-cbc": 16,
  "aria-192-cbc": 24,
  "aria-256-cbc": 32,
  "camellia-128-cbc": 16,
  "camellia-192-cbc": 24,
  "camellia-256-cbc": 32,
  "des-cbc": 8,
  "des-ede3-cbc": 24,
};

const CIPHERS: Readonly<Record<string, string>> = {
  "2.16.840.1.101.3.4.1.2": "aes-128-cbc",
  "2.16.840.1.101.3.4.1.22": "aes-192-cbc",
  "2.16.840.1.101.3.4.1.42": "aes-256-cbc",
  "1.2.410.200046.1.1.2": "aria-128-cbc",
  "1.2.410.200046.1.1.7": "aria-192-cbc",
  "1.2.410.200046.1.1.12": "aria-256-cbc",
  "1.2.392.200011.61.1.1.1.2": "camellia-128-cbc",
  "1.2.392.200011.61.1.1.1.3": "camellia-192-cbc",
  "1.2.392.200011.61.1.1.1.4": "camellia-256-cbc",
  "1.3.14.3.2.7": "des-cbc",
  "1.2.840.113549.3.7": "des-ede3-cbc",
};

/** Maximum memory for scrypt, in bytes; OpenSSL's own default needs 16 MiB. */
const MAX_SCRYPT = 1024 * 1024 * 1024;

/** How to turn a passphrase into a key of so many bytes. */
interface Derivation {
  readonly name: string;
  readonly derive: (passphrase: Buffer, bytes: number) => Buffer;
}

function byPbes2(pem: Buffer, parameters: Der | undefined, encrypted: Uint8Array): EncryptedKey {
  const [derivation, encryption] = inside(parameters, SEQUENCE);
  const [cipherId, iv] = inside(encryption, SEQUENCE);
  const cipher = CIPHERS[oidText(cipherId)];
  const { name, derive } = derivationOf(derivation);
  return {
    scheme: `PBES2 with ${name} and ${cipher?.toUpperCase() ?? `the cipher ${oidText(cipherId)}`}`,
    open(passphrase) {
      if (!cipher || !iv || !hasCipher(cipher, iv.content)) return byLibrary(pem, passphrase);
      const key = derive(passphrase, KEY_BYTES[cipher]!);
      return decrypted(cipher, key, iv.content, encrypted);
    },
  };
}

function derivationOf(element: Der | undefined): Derivation {
  const [id, parameters] = inside(element, SEQUENCE);
  const name = oidText(id);
  const fields = name === PBKDF2 || name === SCRYPT ? inside(parameters, SEQUENCE) : [];
  const salt = Buffer.from(fields[0]?.content ?? []);
  const numbers = fields.filter(({ tag }) => tag === INTEGER).map(integer);
  if (name === SCRYPT) {
    const [N = 0, r = 0, p = 0] = numbers;
    const derive = (passphrase: Buffer, bytes: number) =>
      supported(() => scryptSync(passphrase, salt, bytes, { N, r, p, maxmem: MAX_SCRYPT }));
    return { name: "scrypt", derive };
  }
  if (name !== PBKDF2) return { name: `the key derivation ${name}`, derive: unsupported };
  const hmac = fields.find(({ tag }) => tag === SEQUENCE);
  const hmacId = hmac === undefined ? "1.2.840.113549.2.7" : oidText(inside(hmac, SEQUENCE)[0]);
  const digest = HMACS[hmacId];
  const derive = (passphrase: Buffer, bytes: number) =>
    digest === undefined
      ? unsupported()
      : supported(() => pbkdf2Sync(passphrase, salt, numbers[0]!, bytes, digest));
  return { name: `PBKDF2, HMAC-${digest?.toUpperCase() ?? hmacId}`, derive };
}

/** `headers` has the cipher and the initialization vector in hex: `DEK-Info: AES-256-CBC,0A1B…`. */
function byHeaders(pem: Buffer, data: Buffer, headers: string): EncryptedKey {
  const found = /^DEK-Info: *([A-Z0-9-]+) *, *((?:[0-9A-F]{2})+)$/mi.exec(headers);
  const scheme = `${found?.[1] ?? "an unknown cipher"} (DEK-Info)`;
  const cipher = (found?.[1] ?? "").toLowerCase();
  const iv = Buffer.from(found?.[2] ?? "", "hex");
  const open = (passphrase: Buffer) => {
    if (!hasCipher(cipher, iv)) return byLibrary(pem, passphrase);
    const key = bytesToKey(passphrase, iv.subarray(0, 8), KEY_BYTES[cipher]!);
    return decrypted(cipher, key, iv, data);
  };
  return { scheme, open };
}

/** OpenSSL's EVP_BytesToKey with MD5 and one round. */
function bytesToKey(passphrase: Buffer, salt: Buffer, bytes: number): Buffer {
  let [key, block] = [Buffer.alloc(0), Buffer.alloc(0)];
  while (key.length < bytes) {
    block = createHash("md5").update(block).update(passphrase).update(salt).digest();
    key = Buffer.concat([key, block]);
  }
  return key.subarray(0, bytes);
}

function hasCipher(cipher: string, iv: Uint8Array): boolean {
  const bytes = KEY_BYTES[cipher];
  if (bytes === undefined) return false;
  try {
    createDecipheriv(cipher, Buffer.alloc(bytes), iv);
    return true;
  } catch {
    return false;
  }
}

function decrypted(
  cipher: string,
  key: Buffer,
  iv: Uint8Array,
  data: Uint8Array,
): KeyObject | undefined {
  let plain: Buffer | undefined;
  try {
    const decipher = createDecipheriv(cipher, key, iv);
    plain = Buffer.concat([decipher.update(data), decipher.final()]);
    return keyOf(plain);
  } catch {
    // Wrong padding, or by chance valid padding around something that is not a key.
    return undefined;
  } finally {
    key.fill(0);
    plain?.fill(0);
  }
}

function byLibrary(pem: Buffer, passphrase: Buffer): KeyObject | undefined {
  try {
    return createPrivateKey({ key: pem, format: "pem", passphrase });
  } catch (error) {
    if (isBadDecrypt(error) || canDecrypt(pem)) return undefined;
    throw new UnsupportedEncryption();
  }
}

/**
 * Whether the library has the cipher. A wrong passphrase may by chance decrypt to something with valid
 * padding, whose error looks like that of a missing cipher; several in a row do not.
 */
function canDecrypt(pem: Buffer): boolean {
  return [1, 2, 3].some(() => {
    try {
      createPrivateKey({ key: pem, format: "pem", passphrase: randomBytes(16) });
      return true;
    } catch (error) {
      return isBadDecrypt(error);
    }
  });
}

function isBadDecrypt(error: unknown): boolean {
  return /bad.?decrypt/i.test(String(error));
}

function supported<T>(action: () => T): T {
  try {
    return action();
  } catch {
    throw new UnsupportedEncryption();
  }
}

function unsupported(): never {
  throw new UnsupportedEncryption();
}
