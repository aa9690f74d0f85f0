import type { CertificateSource } from "../certificates/certificates.ts";
import type { Privileges } from "../system/ids.ts";
import type { StapleCommand } from "./staples.ts";
import { UsageError } from "../base/errors.ts";
import type { Log } from "../base/log_entry.ts";
import { directoryProblem } from "./cache.ts";
import { OcspHelper, type OcspWork, spawnOcsp } from "./ocsp_master.ts";
import type { Reads } from "../options/config.ts";
import type { Runtime } from "../runtime/runtime.ts";

export type StaplingSettings = Reads<
  | "log.level"
  | "ocsp.connectTimeout"
  | "ocsp.directory"
  | "ocsp.refreshInterval"
  | "ocsp.responseTimeout"
>;

/** The staples from files, and the work for the helper that asks responders. */
export interface StaplingPlan {
  readonly staples: readonly StapleCommand[];
  readonly work: OcspWork;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Reads the certificates' response files. Builds that cannot staple have an empty plan. */
export async function planStapling(
  { capabilities }: Runtime,
  { ocsp, log }: StaplingSettings,
  sources: readonly CertificateSource[],
  privileges: Privileges | undefined,
): Promise<StaplingPlan> {
  const problems: string[] = [];
  const warnings: string[] = [];
  const staples: StapleCommand[] = [];
  const isUsed = capabilities.staples && sources.length > 0;
  for (const [certificate, { file, chain }] of isUsed ? sources.entries() : []) {
    if (file.ocspResponse === "") continue;
    try {
      // Loaded only if needed, since it loads an ASN.1 library.
      const { readResponseFile } = await import("#ocsp");
      const { response, from, until, warning } = await readResponseFile(
        file.ocspResponse,
        chain(),
        file.ocspVerify,
      );
      if (warning !== undefined) {
        warnings.push(warning);
        continue;
      }
      const end = until === undefined ? {} : { until };
      staples.push({ type: "staple", certificate, response, from, ...end });
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(...error.problems);
    }
  }
  const isCached = isUsed && ocsp.directory !== "";
  const trouble = isCached ? directoryProblem(ocsp.directory) : undefined;
  if (trouble !== undefined) warnings.push(trouble);
  const fromFile = new Map(staples.map((staple) => [staple.certificate, staple]));
  const { directory, connectTimeout, responseTimeout, refreshInterval } = ocsp;
  return {
    staples,
    work: {
      settings: {
        ...{ directory, connectTimeout, responseTimeout, refreshInterval },
        logLevel: log.level,
      },
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

/** Keeps the workers' staples up to date. */
export class Stapling {
  private readonly helper: OcspHelper;
  private plan: StaplingPlan | undefined;

  constructor(runtime: Runtime, log: Log, send: (command: StapleCommand) => void) {
    this.helper = new OcspHelper((count) => spawnOcsp(runtime, count, log), { staple: send, log });
  }

  /** Starts with another configuration. */
  begin(plan: StaplingPlan): void {
    const known = this.known(plan);
    this.plan = plan;
    this.helper.replace(plan.work, known);
  }

  /** Returns all staples for the certificates of the present or the next configuration. */
  of({ stapling }: { readonly stapling: StaplingPlan }): StapleCommand[] {
    return [...stapling.staples, ...this.known(stapling)];
  }

  /** Resolves when the helper has exited. */
  stop(): Promise<void> {
    return this.helper.stop();
  }

  private known(plan: StaplingPlan): StapleCommand[] {
    const { staples } = this.helper;
    return plan === this.plan ? [...staples.values()] : carriedOver(staples, this.plan, plan);
  }
}

/**
 * Returns the staples of certificates that are also in the other plan, with their indexes there.
 */
function carriedOver(
  staples: ReadonlyMap<number, StapleCommand>,
  from: StaplingPlan | undefined,
  to: StaplingPlan,
): StapleCommand[] {
  if (!from || staples.size === 0) return [];
  const sameAs = ({ chain, verify }: OcspWork["certificates"][number]) => `${verify} ${chain}`;
  const known = new Map(
    from.work.certificates.map((each) => [sameAs(each), staples.get(each.certificate)]),
  );
  return to.work.certificates.flatMap((each) => {
    const staple = known.get(sameAs(each));
    // A staple from a file applies until the helper has another.
    return staple && !each.staple ? [{ ...staple, certificate: each.certificate }] : [];
  });
}
