import { reasonOf, UsageError } from "../base/errors.ts";
import { FileError, readFile } from "../base/read_file.ts";
import { MAX_RESPONSE } from "./messages.ts";
import { checkResponse, validityProblem } from "./response.ts";
import { readSubject } from "./subject.ts";

/** The response in a file that the operator keeps up to date. */
export interface ResponseFile {
  /** Base64 of the DER. */
  readonly response: string;
  /** Milliseconds since 1970. */
  readonly until?: number;
  /** One line for the operator: it is loaded, but not served as it is. */
  readonly warning?: string;
}

/**
 * Reads and checks the DER response in `file` for the certificate whose PEM chain is `chain`. One
 * that is out of its time is a warning only. Throws a UsageError which names the file.
 */
export function readResponseFile(file: string, chain: string, verify: boolean): ResponseFile {
  try {
    const response = readFile(file, { also: "pipe", maxBytes: MAX_RESPONSE });
    const validity = checkResponse(response, readSubject(chain), { verify });
    const problem = validityProblem(validity, Date.now());
    return {
      response: response.toString("base64"),
      ...(validity.until === undefined ? {} : { until: validity.until }),
      ...(problem ? { warning: `${file}: ${problem}; it is not stapled` } : {}),
    };
  } catch (error) {
    if (error instanceof FileError) throw error;
    const reason = reasonOf(error);
    throw new UsageError(`${file}: ${reason}; name a DER file with a response for its certificate`);
  }
}
