Feature: Scenarios on containers

  Scenario: Transactions are included
    Given deployer is "compose"
    And topology has 2 validators and 0 executors
    And slot duration is 500 milliseconds
    And wallets total funds is 5000 split across 50 users
    And run duration is 10 seconds
    And transactions rate is 3 per block using 20 users
    And expect consensus liveness
    When run scenario
    Then scenario should succeed
