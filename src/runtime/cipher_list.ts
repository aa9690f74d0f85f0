/** OpenSSL's cipher lists (openssl-ciphers(1)), as far as they do not depend on the library. */

/** One item of a list. */
export interface CipherRule {
  /** As written. */
  readonly text: string;
  /** Adds, excludes for good, removes, moves to the end, or is a command such as `@STRENGTH`. */
  readonly operator: "" | "!" | "-" | "+" | "@";
  /** Names of ciphers or classes, all of which must apply; a command's name. */
  readonly terms: readonly string[];
}

/** The suites of TLS 1.3 that every library has. */
export const COMMON_SUITES: readonly string[] = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
];

/** The cipher suites of TLS 1.3 (RFC 8446 section B.4), which cipher lists do not affect. */
export const TLS13_SUITES: readonly string[] = [
  ...COMMON_SUITES,
  "TLS_AES_128_CCM_SHA256",
  "TLS_AES_128_CCM_8_SHA256",
];

/**
 * Splits a list at colons, commas, semicolons and spaces. An `@` begins a new item, as in
 * `DEFAULT@SECLEVEL=1`. Throws an Error that names an item without a meaning.
 */
export function cipherRules(list: string): CipherRule[] {
  const items = list.replaceAll("@", ":@").split(/[:,; ]+/).filter((item) => item !== "");
  return items.map((text) => {
    const [, operator, body] = /^([!+@-]?)([\w.=-]+(?:\+[\w.=-]+)*)$/.exec(text) ?? [];
    if (body === undefined) throw new Error(`${text} is not an item of a cipher list`);
    return { text, operator: operator as CipherRule["operator"], terms: body.split("+") };
  });
}

/** Whether it is Fedora's name for the ciphers of the system's policy. */
export function isPolicy({ operator, terms }: CipherRule): boolean {
  return operator === "" && /^PROFILE=/.test(terms[0]!);
}

/** Whether some version of OpenSSL had a class of ciphers with this name, or ciphers made up so. */
export function isHistorical(term: string): boolean {
  return CLASSES.has(term) || CIPHER_NAME.test(term) || /^TLS_\w+_WITH_\w+$/.test(term);
}

const CLASSES: ReadonlySet<string> = new Set(
  [
    "ALL COMPLEMENTOFALL DEFAULT COMPLEMENTOFDEFAULT HIGH MEDIUM LOW EXP EXPORT EXPORT40 EXPORT56",
    "FIPS SSLv2 SSLv3 TLSv1 TLSv1.0 TLSv1.2 aNULL eNULL NULL kRSA aRSA RSA kDHE kEDH DHE EDH DH ADH",
    "kDHr kDHd kDH aDH kEECDH kECDHE EECDH ECDHE ECDH AECDH kECDH kECDHr kECDHe aECDH aECDSA ECDSA",
    "aDSS DSS PSK kPSK aPSK kECDHEPSK kDHEPSK kRSAPSK SRP kSRP aSRP KRB5 kKRB5 aKRB5 kFZA aFZA eFZA",
    "FZA GOST kGOST aGOST aGOST01 aGOST94 aGOST12 kGOST18 GOST94 GOST89 GOST89MAC GOST2012256 AES",
    "AES128 AES256 AESGCM AESCCM AESCCM8 ARIA ARIA128 ARIA256 ARIAGCM CAMELLIA CAMELLIA128",
    "CAMELLIA256 CHACHA20 3DES DES RC4 RC2 IDEA SEED MD5 SHA SHA1 SHA256 SHA384 CBC SUITEB128",
    "SUITEB128ONLY SUITEB128C2 SUITEB192",
  ].join(" ").split(" "),
);

/** As in `ECDHE-RSA-AES128-GCM-SHA256`, `EXP1024-DHE-DSS-RC4-SHA`, `GOST2001-GOST89-GOST89`. */
const CIPHER_NAME = new RegExp(
  "^(EXP(1024)?-)?((A|E)?(EC)?DHE?|RSA|DSS|ECDSA|PSK|SRP|KRB5|GOST\\d+|DH|-)*-?" +
    "((AES-?(128|256)|CAMELLIA(128|256)|ARIA(128|256))(-(CBC|GCM|CCM8?))?|CHACHA20|DES(-CBC3?)?|3DES" +
    "(-EDE-CBC)?|RC[24](-\\d+)?|(RC2|IDEA|SEED)-CBC|IDEA|SEED|NULL|GOST89|ARIA)" +
    "(-(SHA(1|256|384)?|MD5|POLY1305(-SHA256)?|GOST\\d+))*$",
);
