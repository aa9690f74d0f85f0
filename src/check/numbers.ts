/** The numbers of TLS and their names (IANA's registries of TLS parameters). */

export const SSL_3_0 = 0x0300;
export const TLS_1_0 = 0x0301;
export const TLS_1_1 = 0x0302;
export const TLS_1_2 = 0x0303;
export const TLS_1_3 = 0x0304;

const versions: Readonly<Record<number, string>> = {
  [SSL_3_0]: "SSL 3.0",
  [TLS_1_0]: "TLS 1.0",
  [TLS_1_1]: "TLS 1.1",
  [TLS_1_2]: "TLS 1.2",
  [TLS_1_3]: "TLS 1.3",
};

/** Returns `TLS 1.3`. */
export function versionName(version: number): string {
  return versions[version] ?? `version ${hex(version)}`;
}

export const X25519 = 0x001d;
export const P_256 = 0x0017;
export const P_384 = 0x0018;
export const P_521 = 0x0019;
export const X25519_MLKEM768 = 0x11ec;

const groups: Readonly<Record<number, string>> = {
  [P_256]: "P-256",
  [P_384]: "P-384",
  [P_521]: "P-521",
  [X25519]: "X25519",
  0x001e: "X448",
  0x0100: "ffdhe2048",
  0x0101: "ffdhe3072",
  0x0102: "ffdhe4096",
  0x11eb: "SecP256r1MLKEM768",
  [X25519_MLKEM768]: "X25519MLKEM768",
  0x11ed: "SecP384r1MLKEM1024",
};

/** Returns the name of a group for the key exchange, as `--ecdh-curve` takes it. */
export function groupName(group: number): string {
  return groups[group] ?? `group ${hex(group)}`;
}

/** A cipher suite of TLS 1.2 or 1.3. */
export interface Suite {
  /** OpenSSL's name, as `--ciphers` and `--ciphersuites` take it. */
  readonly name: string;
  /** The digest of its key schedule and the length of its keys, if handshakes with it are completed. */
  readonly gcm?: { readonly hash: "sha256" | "sha384"; readonly keyLength: 16 | 32 };
  readonly exchange: "1.3" | "ECDHE" | "DHE" | "RSA";
}

const AES_128 = { hash: "sha256", keyLength: 16 } as const;
const AES_256 = { hash: "sha384", keyLength: 32 } as const;

/** In the order in which they are offered. */
const suites: ReadonlyMap<number, Suite> = new Map<number, Suite>([
  [0x1301, { name: "TLS_AES_128_GCM_SHA256", gcm: AES_128, exchange: "1.3" }],
  [0x1302, { name: "TLS_AES_256_GCM_SHA384", gcm: AES_256, exchange: "1.3" }],
  [0x1303, { name: "TLS_CHACHA20_POLY1305_SHA256", exchange: "1.3" }],
  [0xc02b, { name: "ECDHE-ECDSA-AES128-GCM-SHA256", gcm: AES_128, exchange: "ECDHE" }],
  [0xc02f, { name: "ECDHE-RSA-AES128-GCM-SHA256", gcm: AES_128, exchange: "ECDHE" }],
  [0xc02c, { name: "ECDHE-ECDSA-AES256-GCM-SHA384", gcm: AES_256, exchange: "ECDHE" }],
  [0xc030, { name: "ECDHE-RSA-AES256-GCM-SHA384", gcm: AES_256, exchange: "ECDHE" }],
  [0xcca9, { name: "ECDHE-ECDSA-CHACHA20-POLY1305", exchange: "ECDHE" }],
  [0xcca8, { name: "ECDHE-RSA-CHACHA20-POLY1305", exchange: "ECDHE" }],
  [0x009e, { name: "DHE-RSA-AES128-GCM-SHA256", exchange: "DHE" }],
  [0x009f, { name: "DHE-RSA-AES256-GCM-SHA384", exchange: "DHE" }],
  [0xccaa, { name: "DHE-RSA-CHACHA20-POLY1305", exchange: "DHE" }],
  [0xc023, { name: "ECDHE-ECDSA-AES128-SHA256", exchange: "ECDHE" }],
  [0xc027, { name: "ECDHE-RSA-AES128-SHA256", exchange: "ECDHE" }],
  [0xc024, { name: "ECDHE-ECDSA-AES256-SHA384", exchange: "ECDHE" }],
  [0xc028, { name: "ECDHE-RSA-AES256-SHA384", exchange: "ECDHE" }],
  [0xc009, { name: "ECDHE-ECDSA-AES128-SHA", exchange: "ECDHE" }],
  [0xc013, { name: "ECDHE-RSA-AES128-SHA", exchange: "ECDHE" }],
  [0xc00a, { name: "ECDHE-ECDSA-AES256-SHA", exchange: "ECDHE" }],
  [0xc014, { name: "ECDHE-RSA-AES256-SHA", exchange: "ECDHE" }],
  [0x0033, { name: "DHE-RSA-AES128-SHA", exchange: "DHE" }],
  [0x0039, { name: "DHE-RSA-AES256-SHA", exchange: "DHE" }],
  [0x009c, { name: "AES128-GCM-SHA256", gcm: AES_128, exchange: "RSA" }],
  [0x009d, { name: "AES256-GCM-SHA384", gcm: AES_256, exchange: "RSA" }],
  [0x003c, { name: "AES128-SHA256", exchange: "RSA" }],
  [0x003d, { name: "AES256-SHA256", exchange: "RSA" }],
  [0x002f, { name: "AES128-SHA", exchange: "RSA" }],
  [0x0035, { name: "AES256-SHA", exchange: "RSA" }],
  [0x000a, { name: "DES-CBC3-SHA", exchange: "RSA" }],
  [0x0005, { name: "RC4-SHA", exchange: "RSA" }],
]);

/** Returns what is known of a cipher suite. */
export function suiteOf(number: number): Suite | undefined {
  return suites.get(number);
}

/** Returns OpenSSL's name of a cipher suite, or its number. */
export function cipherName(number: number): string {
  return suites.get(number)?.name ?? `cipher ${hex(number)}`;
}

/** Whether the cipher has forward secrecy and authenticated encryption. */
export function isModernCipher(number: number): boolean {
  const { name = "", exchange = "RSA" } = suites.get(number) ?? {};
  return exchange !== "RSA" && /GCM|POLY1305/.test(name);
}

/** Returns the numbers of the suites that fit. */
export function ciphersWith(fits: (suite: Suite) => unknown): number[] {
  return [...suites].filter(([, suite]) => fits(suite)).map(([number]) => number);
}

/** How a signature scheme (RFC 8446 section 4.2.3) is verified. */
export interface Scheme {
  readonly name: string;
  readonly digest: string | null;
  readonly padding?: "pss";
  readonly key: "rsa" | "ec" | "ed25519" | "ed448";
}

const schemes: ReadonlyMap<number, Scheme> = new Map<number, Scheme>([
  [0x0403, { name: "ECDSA with P-256 and SHA-256", digest: "sha256", key: "ec" }],
  [0x0804, { name: "RSA-PSS with SHA-256", digest: "sha256", padding: "pss", key: "rsa" }],
  [0x0807, { name: "Ed25519", digest: null, key: "ed25519" }],
  [0x0503, { name: "ECDSA with P-384 and SHA-384", digest: "sha384", key: "ec" }],
  [0x0805, { name: "RSA-PSS with SHA-384", digest: "sha384", padding: "pss", key: "rsa" }],
  [0x0603, { name: "ECDSA with P-521 and SHA-512", digest: "sha512", key: "ec" }],
  [0x0806, { name: "RSA-PSS with SHA-512", digest: "sha512", padding: "pss", key: "rsa" }],
  [0x0808, { name: "Ed448", digest: null, key: "ed448" }],
  [0x0401, { name: "RSA with SHA-256", digest: "sha256", key: "rsa" }],
  [0x0501, { name: "RSA with SHA-384", digest: "sha384", key: "rsa" }],
  [0x0601, { name: "RSA with SHA-512", digest: "sha512", key: "rsa" }],
  [0x0203, { name: "ECDSA with SHA-1", digest: "sha1", key: "ec" }],
  [0x0201, { name: "RSA with SHA-1", digest: "sha1", key: "rsa" }],
]);

export function schemeOf(number: number): Scheme | undefined {
  return schemes.get(number);
}

/** Returns `RSA-PSS with SHA-256`, or the scheme's number. */
export function schemeName(number: number): string {
  return schemes.get(number)?.name ?? `scheme ${hex(number)}`;
}

/** Returns the numbers of the signature schemes that fit, most preferred first. */
export function schemesWith(fits: (scheme: Scheme) => boolean): number[] {
  return [...schemes].filter(([, scheme]) => fits(scheme)).map(([number]) => number);
}

function hex(number: number): string {
  return `0x${number.toString(16).padStart(4, "0")}`;
}
