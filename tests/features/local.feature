Feature: Scenarios on local processes

  Background:
    Given deployer is "local"
    And slot duration is 500 milliseconds

  Scenario: Transactions are included
    Given topology has 2 validators and 1 executors
    And wallets total funds is 5000 split across 50 users
    And run duration is 10 seconds
    And transactions rate is 3 per block using 20 users
    And expect consensus liveness
    When run scenario
    Then scenario should succeed

  Scenario Outline: Any layout carries the chain
    Given topology has 3 validators and 0 executors
    And topology layout is "<layout>"
    And run duration is 8 seconds
    And consensus liveness lag allowance is 3
    When run scenario
    Then scenario should succeed

    Examples:
      | layout |
      | chain  |
      | full   |

  Scenario: Blobs are available
    Given topology has 1 validators and 1 executors
    And run duration is 10 seconds
    And data availability channel rate is 1 per block and blob rate is 1 per block
    When run scenario
    Then scenario should succeed

  Scenario: Validators that are killed, paused and restarted come back
    Given topology has 4 validators and 0 executors
    And run duration is 15 seconds
    And transactions rate is 1 per block
    And node "validator-1" is killed at height 3 and comes back after 3 blocks
    And node "validator-2" is paused at height 9 for 2 blocks
    And node "validator-3" is restarted at height 12
    When run scenario
    Then scenario should succeed

  Scenario: A validator that is cut off catches up
    Given topology has 3 validators and 0 executors
    And topology layout is "full"
    And run duration is 12 seconds
    And node "validator-2" is cut off at height 3 for 2 blocks
    When run scenario
    Then scenario should succeed

  Scenario: Blobs need an executor
    Given topology has 2 validators and 0 executors
    And run duration is 10 seconds
    And data availability channel rate is 1 per block and blob rate is 1 per block
    When run scenario
    Then scenario should fail with "executor"
