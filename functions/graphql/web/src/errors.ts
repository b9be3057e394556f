import { CombinedGraphQLErrors, ServerError } from '@apollo/client/errors';

export const explain = (e: unknown): string => (e instanceof Error ? e.message : String(e));

/** Whether the server refused the operation with this code. */
export const hasCode = (e: unknown, code: string): boolean =>
  CombinedGraphQLErrors.is(e) && e.errors.some((error) => error.extensions?.code === code);

/** Whether the server has answered, with an error. */
export const isAnswer = (e: unknown): boolean => CombinedGraphQLErrors.is(e) || ServerError.is(e);

const passingCodes = ['UNAVAILABLE', 'INTERNAL_SERVER_ERROR', 'LIMIT_EXCEEDED', 'TOO_MANY_OPERATIONS', 'UNAUTHENTICATED'];
const passingStatus = [401, 408, 425, 429];

/** Whether the same operation may succeed later: there was no answer, or one that says so. */
export function isPassing(e: unknown): boolean {
  if (CombinedGraphQLErrors.is(e)) return passingCodes.some((code) => hasCode(e, code));
  return !ServerError.is(e) || e.statusCode >= 500 || passingStatus.includes(e.statusCode);
}
