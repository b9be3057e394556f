// Apollo Kotlin, resuming after each loss of the connection:
//   ApolloKotlinKt HTTP_URL WS_URL CHAT_ID
// Prints {"next": message} for each message. A line of input completes the
// subscription; the end of the input ends the program.
package apollo

import apollo.NewMessageSubscription.NewMessage
import com.apollographql.apollo.ApolloClient
import com.apollographql.apollo.api.Optional
import com.apollographql.apollo.network.websocket.WebSocketNetworkTransport
import kotlin.random.Random
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.launch

fun client(httpUrl: String, wsUrl: String): ApolloClient =
    ApolloClient.Builder()
        .serverUrl(httpUrl)
        .subscriptionNetworkTransport(
            WebSocketNetworkTransport.Builder()
                .serverUrl(wsUrl)
                .pingInterval(2.minutes)
                .build()
        )
        .build()

fun newMessages(apollo: ApolloClient, chatId: String, newestOfHistory: String?): Flow<NewMessage> = flow {
    var newest = newestOfHistory ?: "0".repeat(26)
    val seen = mutableSetOf(newest)
    var attempts = 0
    while (true) {
        apollo.subscription(NewMessageSubscription(chatId, Optional.present(newest))).toFlow().collect { response ->
            val message = response.data?.newMessage ?: return@collect
            attempts = 0
            if (seen.add(message.id)) emit(message)
            newest = maxOf(newest, message.id)
        }
        // The flow has ended: its last response has an exception, which says why.
        delay((1000L shl minOf(attempts++, 5)) * Random.nextLong(50, 100) / 100)
    }
}

fun main(args: Array<String>) {
    val (httpUrl, wsUrl, chatId) = args
    val apollo = client(httpUrl, wsUrl)
    val listening = CoroutineScope(Dispatchers.Default).launch {
        newMessages(apollo, chatId, null).collect {
            println("""{"next":{"id":"${it.id}","content":"${it.content}","senderName":"${it.senderName}"}}""")
        }
    }

    readlnOrNull()
    listening.cancel()
    while (readlnOrNull() != null) continue
    exitProcess(0) // threads of OkHttp would wait for more work
}
