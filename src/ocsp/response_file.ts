import { reasonOf, UsageError } from "../base/errors.ts";
import { FileError, readFile } from "../base/read_file.ts";
import { MAX_RESPONSE } from "./messages.ts";
import { checkResponse, validityProblem } from "./response.ts";
import { readSubject } from "./subject.ts";

/** A response in a file that the operator keeps up to date. */
export interface ResponseFile {
  /** Base64 of the DER. */
  readonly response: string;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly until?: number;
  /** Why it is not stapled although it is intact, in one line. */
  readonly warning?: string;
}

/**
 * Reads and checks the DER response in `file` for the certificate with the PEM chain `chain`. An
 * expired response is only a warning. Throws a UsageError that names the file.
 */
export function readResponseFile(file: string, chain: string, verify: boolean): ResponseFile {
  try {
    const response = readFile(file, { also: "pipe", maxBytes: MAX_RESPONSE });
    const validity = checkResponse(response, readSubject(chain), { verify });
    const problem = validityProblem(validity, Date.now());
    return {
      response: response.toString("base64"),
      from: validity.from,
      ...(validity.until === undefined ? {} : { until: validity.until }),
      ...(problem ? { warning: `${file}: ${problem}; it is not stapled` } : {}),
    };
  } catch (error) {
    if (error instanceof FileError) throw error;
    const reason = reasonOf(error);
    throw new UsageError(
      `${file}: ${reason}; specify a DER file with a response for its certificate`,
    );
  }
}
