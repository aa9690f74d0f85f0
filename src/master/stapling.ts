import type { CertificateSource } from "../certificates/tls_order.ts";
import type { Order, Privileges, StapleOrder } from "../control/messages.ts";
import { UsageError } from "../errors.ts";
import type { Log } from "../log.ts";
import { directoryProblem } from "../ocsp/cache.ts";
import { OcspHelper, type OcspWork, spawnOcsp } from "../ocsp/ocsp_master.ts";
import type { Config } from "../options/config.ts";
import type { Runtime } from "../runtime/types.ts";
import type { Slot } from "./slot.ts";

/** What is to be stapled: from files, and by the helper that asks the responders. */
export interface StaplingPlan {
  readonly staples: readonly StapleOrder[];
  readonly work: OcspWork;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Reads the certificates' response files. A build that cannot staple has nothing to do. */
export async function planStapling(
  { capabilities }: Runtime,
  { ocsp, log }: Config,
  sources: readonly CertificateSource[],
  privileges: Privileges | undefined,
): Promise<StaplingPlan> {
  const problems: string[] = [];
  const warnings: string[] = [];
  const staples: StapleOrder[] = [];
  const isUsed = capabilities.staples && sources.length > 0;
  for (const [certificate, { file, chain }] of isUsed ? sources.entries() : []) {
    if (file.ocspResponse === "") continue;
    try {
      // It brings an ASN.1 library along, which nobody else needs.
      const { readResponseFile } = await import("../ocsp/response_file.ts");
      const { response, until, warning } = await readResponseFile(
        file.ocspResponse,
        chain(),
        file.ocspVerify,
      );
      if (warning !== undefined) {
        warnings.push(warning);
        continue;
      }
      const end = until === undefined ? {} : { until };
      staples.push({ type: "staple", certificate, response, ...end });
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(...error.problems);
    }
  }
  const isCached = isUsed && ocsp.directory !== "";
  const trouble = isCached ? directoryProblem(ocsp.directory) : undefined;
  if (trouble !== undefined) warnings.push(trouble);
  const fromFile = new Map(staples.map((staple) => [staple.certificate, staple]));
  const { verify: _, ...settings } = ocsp;
  return {
    staples,
    work: {
      settings: { ...settings, logLevel: log.level },
      ...(privileges ? { ids: { uid: privileges.uid, gid: privileges.gid } } : {}),
      certificates: isCached && trouble === undefined
        ? sources.map(({ file, chain }, certificate) => {
          const staple = fromFile.get(certificate);
          const known = staple?.until === undefined ? {} : { until: staple.until };
          return {
            ...{ certificate, chain: chain(), path: file.cert, verify: file.ocspVerify },
            ...(staple ? { staple: known } : {}),
          };
        })
        : [],
    },
    problems,
    warnings,
  };
}

/** Keeps the workers' staples fresh. */
export class Stapling {
  private readonly helper: OcspHelper;
  private fromFiles: readonly StapleOrder[] = [];

  constructor(runtime: Runtime, log: Log, send: (order: Order) => void) {
    this.helper = new OcspHelper((count) => spawnOcsp(runtime, count), { staple: send, log });
  }

  /** Another configuration counts from now on. */
  begin({ staples, work }: StaplingPlan): void {
    this.fromFiles = staples;
    this.helper.replace(work);
  }

  /** Tells a worker that has just started. */
  tell(slot: Slot): void {
    for (const order of this.fromFiles) slot.send(order);
    for (const order of this.helper.staples.values()) slot.send(order);
  }

  /** Fulfilled when the helper is gone. */
  stop(): Promise<void> {
    return this.helper.stop();
  }
}
