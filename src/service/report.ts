import type { Prepared } from "../master/prepare.ts";
import type { Reads } from "../options/config.ts";
import { draftListenReport, type ListenReport } from "./listen_report.ts";
import type { ServiceState } from "./state.ts";

/** Logs the warnings about the configuration in use. */
export function logWarnings({ log, command }: ServiceState, prepared: Prepared): void {
  for (const message of [...command.warnings, ...prepared.warnings]) {
    log({ level: "warn", event: "warning", message, facts: {} });
  }
}

/** Prepares the file for `--dbg-listen`, if it is specified. Throws a UsageError. */
export function draftReport(
  config: Reads<"listenReport">,
  listeners: Prepared["listeners"],
): ListenReport | undefined {
  if (config.listenReport === "") return undefined;
  // The dual-stack wildcard includes IPv4.
  const endpoints = listeners.map(({ endpoint, dualStack }) =>
    dualStack && endpoint.family === 6
      ? { ...endpoint, family: 4, address: "0.0.0.0" } as const
      : endpoint
  );
  return draftListenReport(config.listenReport, endpoints);
}
