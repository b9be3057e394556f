// Spring for GraphQL's WebSocketGraphQlClient, resuming after each loss of the connection:
//   SpringKt HTTP_URL WS_URL CHAT_ID
// Prints {"next": message} for each message. A line of input completes the
// subscription; the end of the input ends the program.
package spring

import java.time.Duration
import org.springframework.graphql.client.WebSocketGraphQlClient
import org.springframework.web.reactive.socket.client.ReactorNettyWebSocketClient
import reactor.core.publisher.Flux
import reactor.util.retry.Retry
import tools.jackson.databind.json.JsonMapper

data class Message(var id: String = "", var content: String = "", var senderName: String = "")

val document = $$"""
  subscription NewMessage($chatId: ID!, $after: ID) {
    newMessage(chatId: $chatId, after: $after) { id content senderName }
  }
"""

fun newMessages(client: WebSocketGraphQlClient, chatId: String, newestOfHistory: String?): Flux<Message> {
    var newest = newestOfHistory ?: "0".repeat(26)
    val seen = mutableSetOf(newest)
    val again = Retry.backoff(Long.MAX_VALUE, Duration.ofSeconds(1)).maxBackoff(Duration.ofSeconds(30))
    return Flux.defer {
        client.document(document).variable("chatId", chatId).variable("after", newest)
            .retrieveSubscription("newMessage").toEntity(Message::class.java)
    }
        .doOnNext { newest = maxOf(newest, it.id) }
        .retryWhen(again.transientErrors(true)) // an event begins the pauses anew
        .filter { seen.add(it.id) }
}

fun main(args: Array<String>) {
    val (_, wsUrl, chatId) = args
    val client = WebSocketGraphQlClient.builder(wsUrl, ReactorNettyWebSocketClient())
        .keepAlive(Duration.ofMinutes(2))
        .build()
    val json = JsonMapper()
    val subscription = newMessages(client, chatId, null)
        .subscribe { println(json.writeValueAsString(mapOf("next" to it))) }

    readlnOrNull()
    subscription.dispose()
    while (readlnOrNull() != null) continue
    client.stop().block()
}
