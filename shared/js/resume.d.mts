export type Client = import('graphql-ws').Client;
export type SubscribePayload = import('graphql-ws').SubscribePayload;
export type Sink = import('graphql-ws').Sink<any>;
export type Ids = string | undefined | (string | undefined)[];
export type Options = {
    /**
     * the id of the event in an execution result, or those of its list, one for each item in its order;
     * default: the field `id` of the first root field. A list with one id is new or not as a whole.
     */
    idOf?: (result: any) => Ids;
    /**
     * waits before an operation is sent again; default backOff
     */
    retryWait?: (attempts: number) => Promise<void>;
    /**
     * whether to try again after the connection ended; default as in settings. Give the client's own, if it has another.
     */
    shouldRetry?: (error: unknown) => boolean;
    /**
     * ms without a message after which the server closes a socket; default API Gateway's, 10 minutes
     */
    idle?: number;
    /**
     * ms after which the server closes every socket; default API Gateway's, 2 hours. Subwire's other host gives a day.
     */
    life?: number;
    /**
     * ms of silence after which a page that is visible asks whether the server is there; default never
     */
    whileVisible?: number;
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
 * Settings of graphql-ws for a client in `resuming`, which keeps the socket open. Without it set keepAlive.
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
 * The id of the event in an execution result, if the document asks for the id of its root field;
 * of a list, that of each item.
 * @param {any} result
 * @returns {Ids}
 */
export declare const idOf: (result: any) => Ids;
/**
 * Wraps a graphql-ws client. A subscription whose document declares $after is
 * resumed after each loss of the connection: it is sent again with the largest
 * id seen, and repeated events are dropped, also from lists. It begins at the `after` of its
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
 * does not ask it about some close codes.
 *
 * It keeps the socket open by heartbeats one way, and asks whether the server is
 * there when that is in doubt: when a page becomes visible, is restored or gets a
 * network, when the machine has slept, or when a query or mutation has no answer for
 * 10 s. A socket that does not answer within 10 s is given up. Before the server cuts
 * a socket for its age, the client leaves it for another, at a random moment, so that
 * those who came together do not come again together.
 *
 * @param {Client} client
 * @param {Options} [options]
 * @returns {Client} iterate throws: it cannot resume
 */
export declare function resuming(client: Client, options?: Options): Client;
export type Watched = {
    /**
     *   says that a query or mutation is awaited, and returns what to call when it is not any more
     */
    asked: () => () => void;
    /**
     * stops listening to the page
     */
    forget: () => void;
};
export {};
