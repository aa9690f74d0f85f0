/** The parts of the configuration that say which clients, or which backend, are trusted. */
import { formatAddress } from "./address.ts";
import type { Origin } from "./assignment.ts";
import { type FrontendValue, type PemValue, pemValues } from "./blocks.ts";
import type { Collected } from "./collect.ts";
import type { ClientVerify } from "./config.ts";
import type { ConfigContext } from "./config_context.ts";
import type { OptionName } from "./table.ts";

/** Settings for trust, and those that contain blocks with such settings. */
export type TrustName =
  | "client"
  | "client-verify"
  | "client-verify-ca"
  | "client-verify-crl"
  | "frontend"
  | "pem-file";

type Parts = Collected<TrustName>;

/** Returns the files of CAs and of CRLs that the settings name, whether or not they are used. */
export function trustFiles(
  { settings }: Parts,
  { absolute }: ConfigContext,
): { readonly authorities: readonly string[]; readonly lists: readonly string[] } {
  const blocks = settings.frontend.map(({ settings }) => settings);
  const scopes = [settings, ...blocks, ...pemValues(settings)];
  const files = (name: "client-verify-ca" | "client-verify-crl") =>
    [...new Set(scopes.flatMap((scope) => scope[name] ?? []))].map(absolute);
  return { authorities: files("client-verify-ca"), lists: files("client-verify-crl") };
}

/** Reports a global --client-verify without CAs. */
export function checkGlobalVerify({ settings, rejected }: Parts, context: ConfigContext): void {
  const mode = settings["client-verify"] ?? "none";
  if (rejected.has("client-verify-ca")) return;
  if (mode === "none" || settings["client-verify-ca"] || !context.isComplete) return;
  context.problems.push(`${NO_CA}; specify the file`);
}

/**
 * Returns how a frontend verifies clients: by its own settings, else by the global ones. Reports a
 * missing CA.
 */
export function frontendVerify(
  { settings, rejected }: Parts,
  frontend: FrontendValue,
  { absolute, problems, isComplete }: ConfigContext,
): ClientVerify {
  const own = frontend.settings;
  const mode = own["client-verify"] ?? settings["client-verify"] ?? "none";
  const ca = absolute(own["client-verify-ca"] ?? settings["client-verify-ca"]);
  const isGiven = ca !== "" || rejected.has("client-verify-ca");
  if (own["client-verify"] && mode !== "none" && !isGiven && isComplete && !settings.client) {
    const name = formatAddress(frontend.listen);
    problems.push(
      `No 'client-verify-ca' configured for frontend '${name}'; specify the file there`,
    );
  }
  return clientVerify(
    mode,
    ca,
    absolute(own["client-verify-crl"] ?? settings["client-verify-crl"]),
  );
}

/** Returns how clients of one certificate are verified; undefined: as its frontend does. */
export function pemVerify(
  { blocks }: Parts,
  pem: PemValue,
  { absolute, dialect, problems }: ConfigContext,
): ClientVerify | undefined {
  const mode = pem["client-verify"];
  if (mode === undefined) return undefined;
  const { origin } = blocks.get(pem)!;
  const ca = absolute(pem["client-verify-ca"]);
  if (mode !== "none" && ca === "") {
    problems.push(
      dialect === "hitch"
        ? origin.message("specify the file in the same block", NO_CA)
        : origin.message(`${NO_CA}; specify the file in the same block`),
    );
  }
  return clientVerify(mode, ca, absolute(pem["client-verify-crl"]));
}

/**
 * Reports CAs and CRLs that nothing uses, since no --client-verify is given: everybody could
 * connect. hitch accepts them; `none` says that this is meant. In client mode stud's dialect
 * verifies the backend unless this is `none`.
 */
export function checkUnusedTrust(parts: Parts, context: ConfigContext): void {
  const { settings, blocks, origins, rejected } = parts;
  const { "client-verify": global, client, frontend: frontends } = settings;
  if ((client && context.dialect === "stud") || !context.isComplete) return;
  if (rejected.has("client-verify")) return;
  const pems = pemValues(settings);
  const others = client ? [] : [...frontends.map(({ settings }) => settings), ...pems];
  if (global === undefined && others.every((other) => other["client-verify"] === undefined)) {
    reportUnused(origins, client ? "the backend is not verified" : OPEN, context);
  }
  if (client) return;
  for (const frontend of frontends) {
    const isDecided = frontend.settings["client-verify"] !== undefined;
    if (isDecided || (global ?? "none") !== "none") continue;
    reportUnused(blocks.get(frontend)!.origins, OPEN, context);
  }
  for (const pem of pems) {
    if (pem["client-verify"] !== undefined) continue;
    reportUnused(blocks.get(pem)!.origins, "they are not used for this certificate", context);
  }
}

const NO_CA = "Setting 'client-verify-ca' is required when configuring client-verify";

const OPEN = "everybody can connect";

function reportUnused(
  origins: ReadonlyMap<OptionName, Origin>,
  effect: string,
  { problems }: ConfigContext,
): void {
  const origin = origins.get("client-verify-ca") ?? origins.get("client-verify-crl");
  if (!origin) return;
  problems.push(
    origin.message(
      `without client-verify ${effect}; add client-verify = required or optional here, or none ` +
        "if this is intended",
    ),
  );
}

function clientVerify(mode: ClientVerify["mode"], ca: string, crl: string): ClientVerify {
  // A missing CA is reported, and the result is not used.
  return mode === "none" || ca === "" ? { mode: "none", ca: "", crl: "" } : { mode, ca, crl };
}
