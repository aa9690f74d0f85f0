/**
 * Lists that a build accepts though it can choose nothing: they permit what it offers anyway. Each
 * function returns the warning for such a list, or undefined if the list excludes something.
 */
import { type CipherRule, cipherRules, isHistorical, isPolicy } from "../runtime/cipher_list.ts";
import type { Capabilities } from "../runtime/capabilities.ts";

type Offers = Pick<Capabilities, "offers">;

/**
 * A cipher that the list does not name is no weaker than those of its kind that it does: AES-128 is
 * the least of what is offered. An exclusion counts in any case, and so does a demand for strength.
 */
export function permitsCiphers(list: string, { offers }: Offers): string | undefined {
  const { ciphers = [] } = offers;
  let rules: readonly CipherRule[];
  try {
    rules = cipherRules(list);
  } catch {
    return undefined;
  }
  const { permitted, excluded, unused } = evaluate(rules, ciphers);
  const hasLeast = (["AES128", "AES256"] as const).every((size) =>
    [...permitted].some((cipher) => cipher.includes(size))
  );
  const demandsMore = rules.some(({ text }) => /^@SECLEVEL=[3-9]/.test(text));
  if (!hasLeast || demandsMore || excluded.size > 0) return undefined;
  const passedOver = unused.length === 0 ? "" : `passed over ${unused.join(", ")}; `;
  const others = ciphers.filter((cipher) => !permitted.has(cipher));
  const more = others.length === 0 ? "" : `; not in the list: ${others.join(", ")}`;
  return `${passedOver}this build always offers AES-GCM and ChaCha20 with ECDHE, ` +
    `in the client's order${more}`;
}

/** Only a name that is missing can exclude a suite. */
export function permitsSuites(list: string, { offers }: Offers): string | undefined {
  const named = list.split(":");
  if (!offers.ciphersuites?.every((suite) => named.includes(suite))) return undefined;
  return "this build always offers the same suites, all of which are listed; the order, and the " +
    "rest of the list, has no effect";
}

/** A hybrid group is no weaker than the group in it, nor a larger curve than P-256. */
export function permitsCurves(list: string, { offers }: Offers): string | undefined {
  const items = list.toLowerCase().split(/[:/]/).map((name) => name.replace(/^[?*]+/, ""));
  const named = new Set(items.map((name) => GROUP_NAMES[name] ?? name));
  const least = offers.curves?.filter((group) => /^(X25519|P-256)$/.test(group)) ?? [];
  const excludes = items.some((name) => name.startsWith("-")) || least.length === 0 ||
    least.some((group) => !named.has(group.toLowerCase()));
  if (excludes) return undefined;
  return `this build always offers ${offers.curves!.join(", ")}; the order, and the rest of the ` +
    "list, has no effect";
}

/** Engines that only used instructions or drivers for speed, as TLS libraries now do themselves. */
export function permitsEngine(name: string): string | undefined {
  if (!/^(auto|aesni|rdrand|padlock|cryptodev|devcrypto|afalg)$/.test(name)) return undefined;
  return "this build has no engines, and its TLS library uses the processor's instructions itself";
}

const GROUP_NAMES: Readonly<Record<string, string>> = {
  "prime256v1": "p-256",
  "secp256r1": "p-256",
  "secp384r1": "p-384",
  "secp521r1": "p-521",
};

/**
 * OpenSSL's evaluation of a list, for a few ciphers. `excluded` were removed and not added again;
 * `unused` are items that add none of them, or exclude what no OpenSSL ever had.
 */
function evaluate(rules: readonly CipherRule[], ciphers: readonly string[]) {
  const permitted = new Set<string>();
  const excluded = new Set<string>();
  const killed = new Set<string>();
  const unused: string[] = [];
  for (const rule of rules) {
    const { operator, terms } = rule;
    const chosen = operator === "@"
      ? []
      : ciphers.filter((cipher) =>
        isPolicy(rule) || terms.every((term) => classesOf(cipher).has(term))
      );
    const isMistake = operator !== "@" && !terms.every(isHistorical);
    if (chosen.length === 0 && (operator === "" || isMistake)) unused.push(rule.text);
    for (const cipher of chosen) {
      if (operator === "" && !killed.has(cipher)) {
        permitted.add(cipher);
        excluded.delete(cipher);
      } else if (operator === "!" || operator === "-") {
        permitted.delete(cipher);
        excluded.add(cipher);
        if (operator === "!") killed.add(cipher);
      }
    }
  }
  return { permitted, excluded, unused };
}

/** Returns the names that choose a cipher with ECDHE and authenticated encryption. */
function classesOf(cipher: string): ReadonlySet<string> {
  const [, authentication = "", encryption = ""] = /^ECDHE-(ECDSA|RSA)-(\w+)/.exec(cipher) ?? [];
  const aes = encryption.startsWith("AES") ? [encryption, "AES", "AESGCM", "FIPS"] : [encryption];
  const iana = cipher.replace(`-${authentication}-`, `-${authentication}-WITH-`)
    .replace(/AES(\d)/, "AES-$1").replace(/POLY1305$/, "POLY1305-SHA256").replaceAll("-", "_");
  return new Set([
    ...["ALL", "DEFAULT", "HIGH", "TLSv1.2", "ECDH", "ECDHE", "EECDH", "kECDHE", "kEECDH"],
    ...(authentication === "RSA" ? ["aRSA"] : ["aECDSA", "ECDSA"]),
    ...aes,
    cipher,
    `TLS_${iana}`,
  ]);
}
