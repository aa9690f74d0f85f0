import { isIpAddress } from "./address.ts";
import { buildTitle } from "./builds.ts";
import type { Collected } from "./collect.ts";
import type { ConfigContext } from "./config_context.ts";
import { quote } from "./words.ts";

/** Reports settings that leave no TLS version, and those that have no effect. */
export function checkEffects(
  { settings, origins, rejected }: Collected,
  context: ConfigContext,
): void {
  const { build: { capabilities, name: build }, dialect, problems, warnings } = context;
  const all = capabilities.protocols.join(", ");
  if (!settings.tls && !settings.ssl && !settings["tls-protos"]) {
    if (dialect === "hitch") {
      warnings.push("Warning: tls = off is deprecated and has no effect.");
    } else if (!rejected.has("tls-protos")) {
      problems.push(
        "--tls=off leaves no TLS version; choose some with --tls-protos, or remove it",
      );
    }
  }
  if (settings.ssl) {
    warnings.push(`--ssl offers ${all}; SSLv3 no longer exists in any of these TLS libraries`);
  } else if (dialect === "hitch" && settings.tls && origins.has("tls")) {
    warnings.push(`--tls is deprecated; it offers ${all}, choose with --tls-protos`);
  }
  if (settings["write-proxy-v2"] && !capabilities.tlsFacts) {
    warnings.push(
      `--write-proxy-v2: the ${buildTitle(build)} build cannot report server name, TLS version ` +
        "and cipher, so the header contains addresses and ALPN only",
    );
  }
  if (!settings.tickets && !settings.client && !capabilities.noTickets) {
    warnings.push(
      `--tickets=off: the ${buildTitle(build)} build still sends two tickets to each client of ` +
        "TLSv1.3, but no session can be resumed",
    );
  }
  const { admin } = settings;
  const hasAccessLog = settings["access-log"] !== "";
  const dependent: readonly [
    name: keyof typeof settings & string,
    without: string,
    has: boolean,
  ][] = [
    ["proxy-tlvs", "--write-proxy-v2", settings["write-proxy-v2"]],
    ["trusted-proxies", "--accept-proxy", settings["accept-proxy"]],
    ["pem-dir-glob", "--pem-dir", settings["pem-dir"] !== ""],
    ["backend-name", "--client", settings.client],
    ["ticket-secret-file", "--tickets", settings.tickets || settings["shared-cache"] > 0],
    ["ticket-store", "--tickets", settings.tickets],
    ["ticket-store-ca", "--ticket-store", settings["ticket-store"] !== ""],
    ["shared-cache-peer", "--shared-cache-listen", !!settings["shared-cache-listen"]],
    ["shared-cache-if", "--shared-cache-listen", !!settings["shared-cache-listen"]],
    [
      "admin-token-file",
      "a TCP address or an abstract socket in --admin",
      !!admin && (isIpAddress(admin) || admin.path.startsWith("@")),
    ],
    ["access-log-format", "--access-log", hasAccessLog || settings["access-log-format"] === "text"],
    ["access-log-sample", "--access-log", hasAccessLog || settings["access-log-sample"] === "1/1"],
    ["admin-allow-remote", "--admin", !!admin || !settings["admin-allow-remote"]],
    ["admin-ready-backend", "--admin", !!admin || !settings["admin-ready-backend"]],
  ];
  for (const [name, without, has] of dependent) {
    if (!has && origins.has(name) && String(settings[name]) !== "") {
      warnings.push(`--${name} has no effect without ${without}`);
    }
  }
  for (const name of settings["alpn-protos"]) {
    const [known, meant] = COMMON_PROTOCOLS.find(([pattern]) => pattern.test(name)) ?? [];
    if (known && name !== meant) {
      const label = origins.get("alpn-protos")?.label ?? "--alpn-protos";
      warnings.push(`${label}: clients do not offer ${quote(name)}; did you mean ${meant}?`);
    }
  }
  if (settings.client && (settings["pem-file"].length > 0 || settings["pem-dir"] !== "")) {
    warnings.push("--client: the certificates are not used, because clients connect without TLS");
  }
}

/** How users misspell the protocols that everybody uses; names are case-sensitive (RFC 7301). */
const COMMON_PROTOCOLS: readonly (readonly [RegExp, string])[] = [
  [/^(h2|http\/?2(\.0)?|h2c)$/i, "h2"],
  [/^(http\/?1\.1|h1|http\/?1|http)$/i, "http/1.1"],
];
