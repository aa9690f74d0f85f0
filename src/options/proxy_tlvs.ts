import type { Capabilities } from "../runtime/capabilities.ts";
import { meets, type Need } from "./builds.ts";
import type { ProxyTlv } from "./config.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Settings } from "./table.ts";

/** What a build must support for each TLV; the others work in every build. */
const needs: { readonly [T in ProxyTlv]?: readonly Need[] } = {
  "authority": ["tlsFacts"],
  "ssl": ["tlsFacts"],
  "cn": ["tlsFacts", "verifyClients"],
  "sig-alg": ["tlsFacts"],
  "key-alg": ["tlsFacts"],
  "client-cert": ["verifyClients"],
  "hitch-cert": ["verifyClients"],
};

const defaults: Record<Dialect, readonly ProxyTlv[]> = {
  stud: ["alpn", "authority", "ssl", "cn", "sig-alg", "key-alg"],
  hitch: ["alpn", "authority", "ssl"],
};

const aboutTls: readonly ProxyTlv[] = ["ssl", "cn", "sig-alg", "key-alg"];

/** Returns the first need of this TLV that a build does not meet, or undefined. */
export function tlvLacks(capabilities: Capabilities, tlv: ProxyTlv): Need | undefined {
  return needs[tlv]?.find((need) => !meets(capabilities, need));
}

/**
 * Returns the TLVs of a version 2 header, in order: the given list, or the dialect's defaults as far
 * as the build supports them, adjusted by hitch's three switches.
 */
export function chosenTlvs(
  settings: Pick<
    Settings,
    "proxy-authority" | "proxy-client-cert" | "proxy-tlv" | "proxy-tlvs"
  >,
  dialect: Dialect,
  capabilities: Capabilities,
): readonly ProxyTlv[] {
  if (settings["proxy-tlvs"]) return settings["proxy-tlvs"];
  const tlvs = defaults[dialect].filter((tlv) =>
    (settings["proxy-authority"] || tlv !== "authority") &&
    (settings["proxy-tlv"] || !aboutTls.includes(tlv)) &&
    tlvLacks(capabilities, tlv) === undefined
  );
  if (!settings["proxy-client-cert"]) return tlvs;
  if (dialect === "stud") return [...tlvs, "client-cert"];
  const place = tlvs.includes("ssl") ? tlvs.indexOf("ssl") : tlvs.length;
  return tlvs.toSpliced(place, 0, "hitch-cert");
}
