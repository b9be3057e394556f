export type Client = import('graphql-ws').Client;
export type SubscribePayload = import('graphql-ws').SubscribePayload;
export type Sink = import('graphql-ws').Sink<any>;
export type Options = {
    /**
     * the id of the event in an execution result; default: the field `id` of the first root field
     */
    idOf?: (result: any) => string | undefined;
    /**
     * waits before an operation is sent again; default backOff
     */
    retryWait?: (attempts: number) => Promise<void>;
    /**
     * whether to try again after the connection ended; default as in settings. Give the client's own, if it has another.
     */
    shouldRetry?: (error: unknown) => boolean;
};
/**
 * Whether the server refused the connection and a retry would not help.
 * @param {unknown} error what graphql-ws gives to shouldRetry or a sink
 * @returns {boolean}
 */
export declare const isRefusal: (error: unknown) => boolean;
/**
 * How long to wait before the next attempt: 1 s, doubled each time up to 30 s, less up to half of it at random.
 * @param {number} attempts how many have failed
 * @returns {number} milliseconds
 */
export declare const waitTime: (attempts: number) => number;
/**
 * Waits that long.
 * @param {number} attempts how many have failed
 * @returns {Promise<void>}
 */
export declare const backOff: (attempts: number) => Promise<void>;
declare const shouldRetry: (/** @type {unknown} */ error: unknown) => boolean;
/**
 * Settings of graphql-ws that fit API Gateway.
 * @satisfies {Partial<import('graphql-ws').ClientOptions>}
 */
export declare const settings: {
    keepAlive: number;
    connectionAckWaitTimeout: number;
    lazyCloseTimeout: number;
    retryAttempts: number;
    retryWait: typeof backOff;
    shouldRetry: typeof shouldRetry;
};
/**
 * The id of the event in an execution result, if the document asks for the id of its root field.
 * @param {any} result
 * @returns {string | undefined}
 */
export declare const idOf: (result: any) => string | undefined;
/**
 * Wraps a graphql-ws client. A subscription whose document declares $after is
 * resumed after each loss of the connection: it is sent again with the largest
 * id seen, and repeated events are dropped. It begins at the `after` of its
 * variables, the newest id that the application has. If it has none, as in an
 * empty chat, the lowest id ('0'.repeat(26)) leaves no gap either. Ids sort by
 * time; events may come in another order.
 *
 * A document that begins with `subscription` is sent again on the error
 * UNAVAILABLE, too, which may have passed; without $after, it misses what came
 * in between. Queries and mutations get that error: only the application knows
 * whether to repeat them.
 *
 * No operation ends with its connection, unless shouldRetry says so: graphql-ws
 * does not ask it about some close codes. A socket that does not answer the
 * client's ping is given up.
 *
 * @param {Client} client
 * @param {Options} [options]
 * @returns {Client} iterate throws: it cannot resume
 */
export declare function resuming(client: Client, options?: Options): Client;
export {};
