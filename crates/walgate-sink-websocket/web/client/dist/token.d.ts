/** Why a token is asked for: for the first time, because the server refuses the last one, or because it expires soon. */
export type TokenReason = "start" | "refused" | "expires";
/** A token, or what gives one. Nothing means: go without, or, after a refusal, give up. */
export type TokenSource = string | ((reason: TokenReason) => string | undefined | Promise<string | undefined>);
/** Keeps the token of a stream, and knows when to ask for the next one. */
export declare class TokenKeeper {
    private readonly source;
    private readonly random;
    private token;
    private isAsked;
    private timer;
    /** The end that is watched for at the moment. */
    private watched;
    constructor(source: TokenSource | undefined, random?: () => number);
    /** Whether another token can be had than the one that was refused. */
    get canAsk(): boolean;
    /** The token for the next connection. */
    current(): Promise<string | undefined>;
    /** Asks for another one. */
    ask(reason: TokenReason): Promise<string | undefined>;
    /**
     * Asks for another one before `expires`, and gives it to `renew`. A source that fails or still gives the old one is
     * asked again while that is good; one that gives none is asked when the server refuses the old one.
     */
    watch(expires: string | undefined, renew: (token: string) => void): void;
    stop(): void;
    private at;
    private next;
}
