import type { Prepared } from "../master/prepare.ts";
import { datesOf } from "../certificates/certificates.ts";
import { type DateProblem, dateProblems, logDates } from "../certificates/dates.ts";
import type { Reads } from "../options/config.ts";
import type { Places } from "../options/places.ts";
import { warningWithPlace } from "./prepare_command.ts";
import { draftListenReport, type ListenReport } from "./listen_report.ts";
import type { ServiceState } from "./state.ts";

/** Logs the warnings about the configuration in use. */
export function logWarnings({ log, command }: ServiceState, prepared: Prepared): void {
  for (const message of [...command.warnings, ...prepared.warnings]) {
    log({ level: "warn", event: "warning", message, facts: {} });
  }
  logDates(log, datesOfPrepared(prepared, command.places));
}

/** Returns what is wrong with the dates of certificates, with the places that named their files. */
export function datesOfPrepared(
  { sources, config }: Prepared,
  places: Places,
): DateProblem[] {
  return dateProblems(datesOf(sources), config.certificateWarningDays, Date.now())
    .map((each) => ({ ...each, text: warningWithPlace(each.text, places) }));
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
