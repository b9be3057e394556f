// A typed client of the shop.
import { createClient } from 'graphql-ws';
import { graphql } from './gql';
import { subscribe } from './subscribe';

const ordersOfShop = graphql(`
  subscription OrdersOfShop($shopId: ID!, $minTotal: Float, $statuses: [OrderStatus!]) {
    ordersOfShop(shopId: $shopId, minTotal: $minTotal, statuses: $statuses) { id status total courierId }
  }
`);

const client = createClient({ url: 'ws://127.0.0.1:4001/local' });

subscribe(client, ordersOfShop, { shopId: 'a', minTotal: 10, statuses: ['PLACED'] }, ({ ordersOfShop: order }) => {
  const total: number = order.total;
  const courier: string | null | undefined = order.courierId;
  console.log(order.id, order.status === 'DELIVERED', total, courier);
});
